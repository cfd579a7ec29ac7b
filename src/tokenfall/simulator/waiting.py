"""Waiting at a `Barrier` in coroutines."""

from tokenfall.ports import Barrier


async def wait_at(barrier: Barrier) -> None:
    """Return once `barrier` lets the caller pass. Cancelling cancels the wait."""
    import asyncio  # noqa: PLC0415 - every caller has imported it

    released = asyncio.Event()
    resume = released.set
    try:
        while not barrier.passes(resume):
            await released.wait()
            released.clear()
    finally:
        barrier.cancel_wait(resume)
