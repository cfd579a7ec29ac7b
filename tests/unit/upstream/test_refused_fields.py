from tokenfall.errors import UpstreamRefused
from tokenfall.messages import ChatRequest
from tokenfall.upstream.refused_fields import MAX_MODELS, RefusedFields

UNSUPPORTED = UpstreamRefused("'max_tokens' is not supported, use 'max_completion_tokens'", status=400)


def request(model: str = "m") -> ChatRequest:
    return ChatRequest(messages=(), model=model, max_tokens=9)


def test_refused_field_is_omitted_in_this_and_later_requests_to_the_model() -> None:
    rewording = RefusedFields()
    assert rewording.without_refused(request()).refused == frozenset()
    reworded = rewording.without_next(request(), UNSUPPORTED)

    assert reworded is not None
    assert reworded.refused == {"max_tokens"}
    assert rewording.without_refused(request()).refused == {"max_tokens"}
    assert rewording.without_refused(request("other")).refused == frozenset()


def test_other_refusals_are_not_reworded() -> None:
    assert RefusedFields().without_next(request(), UpstreamRefused("no such model")) is None


def test_remembered_models_are_bounded() -> None:
    rewording = RefusedFields()
    for number in range(MAX_MODELS + 1):
        rewording.without_next(request(f"m{number}"), UNSUPPORTED)

    assert rewording.without_refused(request(f"m{MAX_MODELS}")).refused == {"max_tokens"}
    assert rewording.without_refused(request("m0")).refused == frozenset()
