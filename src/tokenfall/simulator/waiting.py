"""Waiting at a `Barrier`, for code that awaits."""

from tokenfall.ports import Barrier


async def passed(hold: Barrier) -> None:
    """Return once `hold` has let this one through. Cancelling gives the place up."""
    import asyncio  # noqa: PLC0415 - whoever awaits has it

    released = asyncio.Event()
    resume = released.set
    try:
        while not hold.passes(resume):
            await released.wait()
            released.clear()
    finally:
        hold.forget(resume)
