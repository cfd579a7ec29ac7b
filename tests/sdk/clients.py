"""The four clients, each for a server on this machine.

They check what they are told against their own models (`_strict_response_validation`) and try nothing again. Ollama's
has neither: it always checks, and never tries again. They are `Any` to the tests: a test asks with plain documents.
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
    """Its base address has no `/openai`: the client adds that itself."""
    return groq.Groq(base_url=f"http://127.0.0.1:{port}", api_key=key, **_strict(retries))


def anthropic_client(port: int, *, key: str = KEY, retries: int = 0) -> Any:
    return anthropic.Anthropic(base_url=f"http://127.0.0.1:{port}", api_key=key, **_strict(retries))


def ollama_client(port: int, *, key: str = KEY) -> Any:
    headers = {"Authorization": f"Bearer {key}"}
    return ollama.Client(host=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, headers=headers)


def async_client(name: str, port: int, *, key: str = KEY) -> Any:
    """The one called `name`, for a loop."""
    host = f"http://127.0.0.1:{port}"
    if name == "openai":
        return openai.AsyncOpenAI(base_url=f"{host}/v1", api_key=key, **_strict(0))
    if name == "groq":
        return groq.AsyncGroq(base_url=host, api_key=key, **_strict(0))
    if name == "anthropic":
        return anthropic.AsyncAnthropic(base_url=host, api_key=key, **_strict(0))
    return ollama.AsyncClient(host=host, timeout=PATIENCE_S, headers={"Authorization": f"Bearer {key}"})
