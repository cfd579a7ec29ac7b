import subprocess
import sys
from pathlib import Path

import pytest

from tokenfall.http.loadable import LIVE, Loadable, Modules
from tokenfall.imports import imported


def run(program: str) -> str:
    """The output of a program in a new interpreter."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert done.stderr == ""
    return done.stdout.strip()


def is_loaded(loadable: Loadable) -> bool:
    return loadable.is_loaded


def test_modules_are_loaded_once_all_are_imported() -> None:
    modules = Modules("json", "tests.unit.http.no_such_module")
    assert not is_loaded(modules)
    with pytest.raises(ImportError):
        modules.load()

    assert not is_loaded(modules)
    assert is_loaded(Modules("json"))


def test_loadable_is_loaded_after_finish() -> None:
    loadable = Loadable()
    assert not is_loaded(loadable)
    loadable.finish()

    assert is_loaded(loadable)
    with pytest.raises(NotImplementedError):
        loadable.load()


def test_module_under_import_does_not_count_as_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "half_a_module.py"
    module.write_text("from tokenfall.imports import imported\nseen = imported(__name__)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert imported("half_a_module") is None
    import half_a_module  # type: ignore[import-not-found] # noqa: PLC0415 - created above

    assert half_a_module.seen is None
    assert imported("half_a_module") is half_a_module


IN_A_THREAD = """
import _thread
from tokenfall.http.loadable import {names}
for loadable in ({names},):
    done = _thread.allocate_lock()
    done.acquire()
    _thread.start_new_thread(lambda: (loadable.load(), done.release()), ())
    done.acquire()
    loadable.finish()
import threading
print(threading.main_thread().ident == threading.get_ident(), LIVE.is_loaded)
"""


def test_main_thread_is_unchanged_if_another_thread_imports() -> None:
    assert LIVE.after is not None
    assert run(IN_A_THREAD.format(names="THREADING, LIVE")) == "True True"
