import json

import pytest

from tokenfall.api.anthropic import count_tokens
from tokenfall.errors import InvalidRequest
from tokenfall.http.response import Response
from tokenfall.simulator.planning import prompt_tokens
from tokenfall.slicing.computation import at_once
from tokenfall.wire.anthropic import request as anthropic_request

from tests.doubles.requests import lines_of, request

BODY = b'{"model":"any","system":"Be brief.","messages":[{"role":"user","content":"Why so slow?"}]}'


def test_token_count_equals_the_simulators() -> None:
    incoming = request("/v1/messages/count_tokens", method="POST", body=BODY)
    response = count_tokens(incoming, relays=False)

    assert isinstance(response, Response)
    assert json.loads(response.body) == {"input_tokens": 5}
    assert at_once(prompt_tokens(anthropic_request.decode_count(BODY))) == 5
    assert "cache-control: no-store" in lines_of(response.head)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"model":"any"}'])
def test_invalid_request_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        count_tokens(request("/v1/messages/count_tokens", method="POST", body=body), relays=False)


@pytest.mark.parametrize(("model", "tokens"), [("any", 7), ("sim", 5), ("sim:gap=1s", 5)])
def test_token_count_for_an_upstream_model_is_estimated(model: str, tokens: int) -> None:
    body = BODY.replace(b"any", model.encode())
    response = count_tokens(request("/v1/messages/count_tokens", method="POST", body=body), relays=True)

    assert isinstance(response, Response)
    assert json.loads(response.body) == {"input_tokens": tokens}
