"""Starts Python from files that no other process has open."""

import shutil
import sys
import sysconfig
from pathlib import Path

from benchmarks.toolchain import BUILD


def cold_interpreter() -> list[str]:
    """A command that runs this interpreter and its packages, from a copy of the interpreter's own file.

    The kernel cannot drop pages that are in use: as long as this program runs, 5 MiB of the interpreter
    stay in memory, and a control group that starts the same file is charged nothing for them. A container
    pays for its own.
    """
    home = BUILD / "interpreter"
    shutil.rmtree(home, ignore_errors=True)
    (home / "bin").mkdir(parents=True)
    original = Path(sys.executable).resolve()
    command = [str(home / "bin" / "python3")]
    shutil.copy(original, command[0])
    # As a virtual environment that shares the packages of the one in use.
    (home / "pyvenv.cfg").write_text(f"home = {original.parent}\ninclude-system-site-packages = false\n")
    (home / "lib").symlink_to(Path(sys.prefix) / "lib")
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        return command
    library = Path(sysconfig.get_config_var("LIBDIR")) / sysconfig.get_config_var("INSTSONAME")
    copied = shutil.copy(library, home)
    return ["env", f"LD_PRELOAD={copied}", *command]
