"""The event loop: one poller, one timer wheel and one loop for all sockets of a process. Knows no HTTP and no tokens.

The loop runs on its own until the first coroutine; from then on it is the selector of an ordinary asyncio loop
(`bridge.py`). A process without coroutines never imports asyncio.
"""
