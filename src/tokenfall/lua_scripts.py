"""Lua scripts for Redis, in `.lua` files beside the module that runs them.

Each script is one atomic step on Redis 6 or later, and names no key that it was not given, as a cluster demands.
"""

from os import path


def lua_script(module_file: str, name: str) -> str:
    """The text of `NAME.lua` in the folder of the module with this `__file__`."""
    with open(path.join(path.dirname(module_file), f"{name}.lua"), encoding="utf-8") as file:
        return file.read()
