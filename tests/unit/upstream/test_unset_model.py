import pytest

from tokenfall.errors import InvalidRequest, UpstreamFailed, UpstreamRefused
from tokenfall.events import Finished, TextDelta
from tokenfall.messages import ChatRequest
from tokenfall.ports import OnDelta
from tokenfall.upstream.unset_model import MAX_LISTED, UnsetModel

NO_SUCH_MODEL = UpstreamRefused("the upstream refused the request: model 'default' not found", status=404)


class OneModelServer:
    """An upstream that refuses every model except the first of `names`."""

    def __init__(self, *names: str, error: Exception = NO_SUCH_MODEL) -> None:
        self.names = names
        self.error = error
        self.requested: list[str] = []
        self.listed = 0

    async def reply(self, request: ChatRequest, on_event: OnDelta) -> Finished:
        self.requested.append(request.model)
        if request.model not in self.names[:1]:
            raise self.error
        on_event(TextDelta("hi"))
        return Finished("stop", request.model)

    async def models(self) -> list[str]:
        self.listed += 1
        return [*self.names]


async def reply_model(engine: UnsetModel, model: str = "") -> str:
    finished = await engine.reply(ChatRequest(messages=(), model=model, max_tokens=9), lambda _: None)
    return finished.model


def engine_of(server: OneModelServer) -> UnsetModel:
    return UnsetModel(server, name="default", models=server.models)


async def test_accepted_default_needs_no_list() -> None:
    server = OneModelServer("default", "other")

    assert await reply_model(engine_of(server)) == "default"
    assert server.listed == 0


async def test_single_model_of_the_upstream_is_used_and_remembered() -> None:
    server = OneModelServer("own")
    engine = engine_of(server)

    assert [await reply_model(engine), await reply_model(engine)] == ["own", "own"]
    assert server.requested == ["default", "own", "own"]
    assert server.listed == 1


async def test_error_lists_the_models_if_there_are_several() -> None:
    with pytest.raises(InvalidRequest, match="several models: big, small; set MODEL") as caught:
        await reply_model(engine_of(OneModelServer("big", "small")))

    assert caught.value.param == "model"


async def test_number_of_named_models_is_bounded() -> None:
    with pytest.raises(InvalidRequest, match=r"m19 and 5 more; set MODEL"):
        await reply_model(engine_of(OneModelServer(*(f"m{number}" for number in range(MAX_LISTED + 5)))))


async def test_named_model_is_never_replaced() -> None:
    server = OneModelServer("own")
    with pytest.raises(UpstreamRefused):
        await reply_model(engine_of(server), "named")

    assert server.requested == ["named"]


async def test_other_refusals_are_raised_unchanged() -> None:
    server = OneModelServer("own", error=UpstreamRefused("context too long", status=400))
    with pytest.raises(UpstreamRefused, match="context too long"):
        await reply_model(engine_of(server))

    assert server.listed == 0


async def test_refusal_of_the_found_model_is_raised() -> None:
    server = OneModelServer("own")
    engine = engine_of(server)
    await reply_model(engine)
    server.names = ("new",)
    with pytest.raises(UpstreamRefused):
        await reply_model(engine)

    assert server.listed == 1


@pytest.mark.parametrize("names", [(), None])
async def test_refusal_is_raised_if_the_models_are_unknown(names: tuple[str, ...] | None) -> None:
    server = OneModelServer(*(names or ()))

    async def fails() -> list[str]:
        raise UpstreamFailed("the upstream failed with status 500", status=500)

    with pytest.raises(UpstreamRefused, match="not found; MODEL is not set, and the upstream lists no models"):
        await reply_model(UnsetModel(server, name="default", models=server.models if names is not None else fails))
