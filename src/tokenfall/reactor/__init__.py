"""One poller, one timer wheel and one loop for every socket of a process. It knows no HTTP and no token.

The loop runs by itself until a coroutine has to run; then it becomes the selector of a plain asyncio loop
(`bridge.py`). A process that awaits nothing never imports asyncio.
"""
