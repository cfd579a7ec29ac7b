"""Signatures by which a request is matched with recorded ones. Pure."""

from typing import Any

import msgspec

from tokenfall.recording.redaction import cleaned

VOLATILE = frozenset(
    {"user", "metadata", "store", "safety_identifier", "prompt_cache_key", "service_tier", "stream_options"}
)
"""Fields that change from run to run, or do not affect the content of the response."""

PREFIXES = ("/openai/v1/", "/v1/")
"""Path prefixes that some clients add to the path, and others expect to be in the base URL."""


def bare_path(target: str) -> str:
    """The path without prefix and query: `/chat/completions` for `/openai/v1/chat/completions?x=y`."""
    path = target.partition("?")[0]
    for prefix in PREFIXES:
        if path.startswith(prefix):
            return path[len(prefix) - 1 :]
    return path


def signatures(body: bytes, path: str) -> list[tuple[str, ...]]:
    """The signatures of a request, the strictest first."""
    path = bare_path(path)
    if not body:
        return [(path,)]
    document = cleaned(body)
    if not isinstance(document, dict):
        return []
    stable_fields = {name: value for name, value in document.items() if name not in VOLATILE}
    exact = (path, "exact", _canonical(stable_fields))
    stable_fields.pop("model", None)
    found: list[tuple[str, ...]] = [exact, (path, "any model", _canonical(stable_fields))]
    text = last_user_text(document)
    if text:
        found.append((path, "last user text", str(bool(document.get("stream"))), text))
    return found


def _canonical(document: dict[str, Any]) -> str:
    return msgspec.json.encode(document, order="sorted").decode()


def last_user_text(document: dict[str, Any]) -> str:
    """The text of the last user message, else a string `input` or `prompt`; "" if there is none."""
    for name in ("messages", "input"):
        turns = document.get(name)
        if isinstance(turns, list):
            users = [turn for turn in turns if isinstance(turn, dict) and turn.get("role") == "user"]
            texts = [text for text in (_text(user.get("content")) for user in users) if text]
            if texts:
                return texts[-1]
    for name in ("input", "prompt"):
        if isinstance(document.get(name), str):
            return str(document[name])
    return ""


def _text(content: Any) -> str:  # noqa: ANN401 - any JSON
    """The text of a message's content, its parts joined."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))
