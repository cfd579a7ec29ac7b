"""The four client libraries, connected to a server on this machine.

They validate responses against their own models (`_strict_response_validation`) and do not retry. Ollama's client has
neither option: it always validates and never retries. They are typed `Any`, since tests pass plain dicts.
"""

from typing import Any

import anthropic
import groq
import ollama
import openai

KEY = "any-key"
PATIENCE_S = 20.0


def _strict(retries: int) -> dict[str, Any]:
    return {"max_retries": retries, "timeout": PATIENCE_S, "_strict_response_validation": True}


def openai_client(port: int, *, key: str = KEY, retries: int = 0) -> Any:
    return openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, **_strict(retries))


def groq_client(port: int, *, key: str = KEY, retries: int = 0) -> Any:
    """The base URL has no `/openai`, which the client adds."""
    return groq.Groq(base_url=f"http://127.0.0.1:{port}", api_key=key, **_strict(retries))


def anthropic_client(port: int, *, key: str = KEY, retries: int = 0) -> Any:
    return anthropic.Anthropic(base_url=f"http://127.0.0.1:{port}", api_key=key, **_strict(retries))


def ollama_client(port: int, *, key: str = KEY) -> Any:
    headers = {"Authorization": f"Bearer {key}"}
    return ollama.Client(host=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, headers=headers)


def async_client(name: str, port: int, *, key: str = KEY) -> Any:
    """Return the asynchronous client of this library."""
    host = f"http://127.0.0.1:{port}"
    if name == "openai":
        return openai.AsyncOpenAI(base_url=f"{host}/v1", api_key=key, **_strict(0))
    if name == "groq":
        return groq.AsyncGroq(base_url=host, api_key=key, **_strict(0))
    if name == "anthropic":
        return anthropic.AsyncAnthropic(base_url=host, api_key=key, **_strict(0))
    return ollama.AsyncClient(host=host, timeout=PATIENCE_S, headers={"Authorization": f"Bearer {key}"})
