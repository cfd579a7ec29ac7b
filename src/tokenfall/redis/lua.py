"""Loads the Lua scripts for Redis, which are `.lua` files beside the modules that run them.

Each script is atomic, runs on Redis 6 or later, and accesses only keys passed to it, as a cluster requires.
"""

from os import path


def lua_script(module_file: str, name: str) -> str:
    """The text of `NAME.lua` in the folder of the module whose `__file__` is `module_file`."""
    with open(path.join(path.dirname(module_file), f"{name}.lua"), encoding="utf-8") as file:
        return file.read()
