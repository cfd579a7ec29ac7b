import json

import pytest

from tokenfall.wire.api_error import LimitState
from tokenfall.wire.dialect import ResponseMeta
from tokenfall.wire.dialects import DIALECTS

LIMIT = LimitState(limit=20, remaining=3, reset_s=2.5, now_s=1_700_000_000.0)
META = ResponseMeta("0123456789abcdef01234567", 1_700_000_000.25, "m")


PREFIXES = {
    "openai.chat": "x-ratelimit",
    "openai.completions": "x-ratelimit",
    "openai.responses": "x-ratelimit",
    "groq.chat": "x-ratelimit",
    "anthropic": "anthropic-ratelimit",
    "ollama.chat": None,
    "ollama.generate": None,
}
"""Of the rate limit headers, by dialect; Ollama has none."""


def test_table_has_all_dialects_by_their_names() -> None:
    assert {name: dialect.name for name, dialect in DIALECTS.items()} == {name: name for name in PREFIXES}


@pytest.mark.parametrize(("name", "prefix"), PREFIXES.items())
def test_dialect_has_the_rate_limit_headers_of_its_provider(name: str, prefix: str | None) -> None:
    headers = DIALECTS[name].limits(LIMIT)

    assert len(headers) == (3 if prefix else 0)
    assert all(header.startswith(prefix or "") for header, _ in headers)


@pytest.mark.parametrize(
    ("name", "body"),
    [("ollama.chat", {"model": "m", "messages": []}), ("ollama.generate", {"model": "m", "prompt": ""})],
)
def test_ollama_request_without_input_only_loads_the_model(name: str, body: dict[str, object]) -> None:
    dialect = DIALECTS[name]
    immediate = dialect.immediate_response(dialect.decode(json.dumps(body).encode()), META)

    assert immediate is not None
    assert json.loads(immediate)["done_reason"] == "load"
    parsed = dialect.decode(b'{"model":"m","prompt":"x","messages":[{"role":"user","content":"x"}]}')
    assert dialect.immediate_response(parsed, META) is None
