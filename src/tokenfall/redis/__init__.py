"""Access to Redis: addresses, calls with a time limit, Lua scripts. Must not depend on the stored data."""
