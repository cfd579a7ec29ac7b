"""By what a recorded request is known again. Pure."""

from typing import Any

import msgspec

from tokenfall.recording.redaction import cleaned

VOLATILE = frozenset(
    {"user", "metadata", "store", "safety_identifier", "prompt_cache_key", "service_tier", "stream_options"}
)
"""Fields that change from run to run, or nothing that is said."""

PREFIXES = ("/openai/v1/", "/v1/")
"""Before the path that a base address ends with: clients differ in how much of it is theirs to add."""


def bare_path(target: str) -> str:
    """`/chat/completions` for `/openai/v1/chat/completions?x=y`."""
    path = target.partition("?")[0]
    for prefix in PREFIXES:
        if path.startswith(prefix):
            return path[len(prefix) - 1 :]
    return path


def signatures(body: bytes, path: str) -> list[tuple[str, ...]]:
    """What the same request would have too, the strictest first."""
    path = bare_path(path)
    if not body:
        return [(path,)]
    document = cleaned(body)
    if not isinstance(document, dict):
        return []
    kept = {name: value for name, value in document.items() if name not in VOLATILE}
    exact = (path, "exact", _canonical(kept))
    kept.pop("model", None)
    found: list[tuple[str, ...]] = [exact, (path, "any model", _canonical(kept))]
    said = last_words(document)
    if said:
        found.append((path, "last words", str(bool(document.get("stream"))), said))
    return found


def _canonical(document: dict[str, Any]) -> str:
    return msgspec.json.encode(document, order="sorted").decode()


def last_words(document: dict[str, Any]) -> str:
    """The last user message, or what stands for it where there are no messages; "" for none."""
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
    """The text of a message's content: itself, or that of its parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))
