"""The event loop: one poller, one timer wheel and one loop for all sockets of a process. Must not depend on HTTP.

The loop runs without asyncio until the first coroutine; from then on it is the selector of an ordinary asyncio loop
(`bridge.py`). A process without coroutines never imports asyncio.
"""
