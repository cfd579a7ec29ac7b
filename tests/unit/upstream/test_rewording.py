from typing import Any

import pytest

from tokenfall.errors import UpstreamRefused, UpstreamReset
from tokenfall.events import Finished
from tokenfall.messages import ChatRequest
from tokenfall.upstream.rewording import MOST_MODELS, RewordingUpstream

FINISHED = Finished("stop", "m")
UNSUPPORTED = UpstreamRefused("'max_tokens' is not supported, use 'max_completion_tokens'", status=400)


class Picky:
    """An upstream that refuses `max_tokens` unless it is left out, and fails with `failure` if there is one."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.asked: list[ChatRequest] = []

    async def reply(self, request: ChatRequest, on_event: Any) -> Finished:
        self.asked.append(request)
        if self.failure is not None:
            raise self.failure
        if "max_tokens" not in request.refused:
            raise UNSUPPORTED
        return FINISHED

    converse = reply


def request(model: str = "m") -> ChatRequest:
    return ChatRequest(messages=(), model=model, max_tokens=9)


def ask(upstream: RewordingUpstream, how: str, asked: ChatRequest) -> Any:
    return (upstream.reply if how == "reply" else upstream.converse)(asked, lambda _: None)


@pytest.mark.parametrize("how", ["reply", "converse"])
async def test_refused_member_is_left_out_of_later_requests(how: str) -> None:
    picky = Picky()
    upstream = RewordingUpstream(picky)

    assert await ask(upstream, how, request()) == FINISHED
    assert await ask(upstream, how, request()) == FINISHED
    assert [sorted(asked.refused) for asked in picky.asked] == [[], ["max_tokens"], ["max_tokens"]]
    assert await ask(upstream, how, request("other")) == FINISHED
    assert len(picky.asked) == 5


@pytest.mark.parametrize("how", ["reply", "converse"])
@pytest.mark.parametrize("failure", [UpstreamRefused("no such model"), UpstreamReset("reset")])
async def test_other_errors_are_raised_at_once(how: str, failure: Exception) -> None:
    picky = Picky(failure)
    with pytest.raises(type(failure)):
        await ask(RewordingUpstream(picky), how, request())

    assert len(picky.asked) == 1


async def test_request_is_reworded_once() -> None:
    picky = Picky(UNSUPPORTED)
    with pytest.raises(UpstreamRefused):
        await RewordingUpstream(picky).reply(request(), lambda _: None)

    assert len(picky.asked) == 2


async def test_remembered_models_are_bounded() -> None:
    picky = Picky()
    upstream = RewordingUpstream(picky)
    for number in range(MOST_MODELS + 1):
        await upstream.reply(request(f"m{number}"), lambda _: None)
    picky.asked.clear()
    await upstream.reply(request(f"m{MOST_MODELS}"), lambda _: None)
    await upstream.reply(request("m0"), lambda _: None)

    assert len(picky.asked) == 1 + 2
