import asyncio

import pytest

from tokenfall.api.catalogue import KEPT_S, Catalogue
from tokenfall.errors import UpstreamFailed, UpstreamMalformed

from tests.doubles.clocks import FakeClock


class Lists:
    """An upstream's lists, one after another; the last for ever."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


ONE, TWO = b'{"object":"list","data":[{"id":"up-1"},{"id":"sim"}]}', b'{"data":[{"id":"up-2","object":"model"}]}'


async def test_without_an_upstream_the_simulator_answers_to_every_name() -> None:
    catalogue = Catalogue(None, FakeClock())

    assert await catalogue.names() == ["sim"]
    assert (await catalogue.has("sim"), await catalogue.has("sim:gap=1s"), await catalogue.has("up-1")) == (
        True,
        True,
        True,
    )


async def test_ours_is_first_and_named_once() -> None:
    catalogue = Catalogue(Lists(ONE), FakeClock())

    assert await catalogue.names() == ["sim", "up-1"]
    assert (await catalogue.has("up-1"), await catalogue.has("up-2")) == (True, False)


async def test_the_list_is_believed_for_a_while() -> None:
    clock, lists = FakeClock(0.0), Lists(ONE, TWO)
    catalogue = Catalogue(lists, clock)
    await catalogue.names()
    clock.advance(KEPT_S - 0.1)
    assert await catalogue.names() == ["sim", "up-1"]
    clock.advance(0.2)

    assert await catalogue.names() == ["sim", "up-2"]
    assert lists.asked == 2


async def test_of_many_who_ask_at_once_one_asks_the_upstream() -> None:
    lists = Lists(ONE)
    catalogue = Catalogue(lists, FakeClock())

    assert await asyncio.gather(*(catalogue.names() for _ in range(9))) == [["sim", "up-1"]] * 9
    assert lists.asked == 1


async def test_a_failure_is_told_and_not_kept() -> None:
    catalogue = Catalogue(Lists(UpstreamFailed("down"), ONE), FakeClock())
    with pytest.raises(UpstreamFailed):
        await catalogue.names()

    assert await catalogue.names() == ["sim", "up-1"]


async def test_the_simulator_is_known_while_the_upstream_is_down() -> None:
    assert await Catalogue(Lists(UpstreamFailed("down")), FakeClock()).has("sim")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data":7}', b'{"data":[{"id":7}]}', b"\xff", b"[" * 100_000])
async def test_what_is_no_list_is_the_upstreams_fault(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed, match=r"^the upstream's list of models is not one$"):
        await Catalogue(Lists(body), FakeClock()).names()
