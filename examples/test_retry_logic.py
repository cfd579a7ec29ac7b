"""Does our code survive a provider that says "not now"? Copy this file beside your own tests and put your client in."""

import openai
import pytest

from tokenfall.testing import TokenfallServer


def client(server: TokenfallServer, *, retries: int) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.openai_url, api_key="any", max_retries=retries)


def ask(server: TokenfallServer, *, retries: int) -> str | None:
    with client(server, retries=retries) as asking:
        answer = asking.chat.completions.create(model="sim", messages=[{"role": "user", "content": "Hello"}])
    return answer.choices[0].message.content


def test_two_refusals_are_survived_and_retry_after_is_honoured(tokenfall_server: TokenfallServer) -> None:
    tokenfall_server.set("status=429x2:retry=1")  # the first two requests, then the answer
    tokenfall_server.journal()

    assert ask(tokenfall_server, retries=2)

    first, second, third = tokenfall_server.requests()
    assert second.time - first.time >= 1
    assert third.time - second.time >= 1
    assert third.headers["x-stainless-retry-count"] == "2"


def test_the_client_gives_up_when_its_retries_are_spent(tokenfall_server: TokenfallServer) -> None:
    tokenfall_server.set("status=503")

    with pytest.raises(openai.InternalServerError):
        ask(tokenfall_server, retries=0)


@pytest.mark.tokenfall(api_key="right")  # a setting that only a server of this test's own can have
def test_a_wrong_key_is_not_tried_again(tokenfall_server: TokenfallServer) -> None:
    tokenfall_server.journal()

    with pytest.raises(openai.AuthenticationError):
        ask(tokenfall_server, retries=2)

    assert tokenfall_server.metric("tokenfall_requests_total", route="/v1/chat/completions", status="401") == 1
