"""A client and a provider that refuses requests. Copy this file to your tests and use your own client."""

import openai
import pytest

from tokenfall.testing import TokenfallServer


def client(server: TokenfallServer, *, retries: int) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.openai_url, api_key="any", max_retries=retries)


def ask(server: TokenfallServer, *, retries: int) -> str | None:
    with client(server, retries=retries) as asking:
        response = asking.chat.completions.create(model="sim", messages=[{"role": "user", "content": "Hello"}])
    return response.choices[0].message.content


def test_client_retries_after_two_429_and_honours_retry_after(tokenfall_server: TokenfallServer) -> None:
    tokenfall_server.set("status=429x2:retry=1")  # refuses the first two requests
    tokenfall_server.journal()

    assert ask(tokenfall_server, retries=2)

    first, second, third = tokenfall_server.requests()
    assert second.time - first.time >= 1
    assert third.time - second.time >= 1
    assert third.headers["x-stainless-retry-count"] == "2"


def test_client_raises_after_its_last_retry(tokenfall_server: TokenfallServer) -> None:
    tokenfall_server.set("status=503")

    with pytest.raises(openai.InternalServerError):
        ask(tokenfall_server, retries=0)


@pytest.mark.tokenfall(api_key="right")  # this setting starts a separate server for the test
def test_client_does_not_retry_after_a_wrong_key(tokenfall_server: TokenfallServer) -> None:
    tokenfall_server.journal()

    with pytest.raises(openai.AuthenticationError):
        ask(tokenfall_server, retries=2)

    assert tokenfall_server.metric("tokenfall_requests_total", route="/v1/chat/completions", status="401") == 1
