"""Members of a request that Tokenfall chose itself and that some upstreams refuse. Pure.

A request is worded in the usual way at first. When the upstream refuses one of these members by name, the request is
worded without it, once: see `ChatRequest.refused`.
"""

from tokenfall.errors import UpstreamRefused
from tokenfall.messages import ChatRequest

MAX_TOKENS = "max_tokens"
MAX_COMPLETION_TOKENS = "max_completion_tokens"
REASONING_CONTENT = "reasoning_content"
REASONING_EFFORT = "reasoning_effort"
STREAM_OPTIONS = "stream_options"

_OMITTED = (REASONING_CONTENT, REASONING_EFFORT, STREAM_OPTIONS)
_NEW_FAMILIES = ("gpt-5", "o1", "o3", "o4", "codex")
"""Models that take `max_completion_tokens` only."""
_UNKNOWN = ("unsupported", "unrecognized", "unknown", "unexpected", "not supported", "not permitted", "extra")


def max_tokens_name(request: ChatRequest) -> str:
    """The member that bounds the response."""
    if MAX_TOKENS in request.refused:
        return MAX_COMPLETION_TOKENS
    family = request.model.rpartition("/")[2].lower()
    if family.startswith(_NEW_FAMILIES) and MAX_COMPLETION_TOKENS not in request.refused:
        return MAX_COMPLETION_TOKENS
    return MAX_TOKENS


def refused_member(error: UpstreamRefused, request: ChatRequest) -> str | None:
    """The member that `error` refuses, where the request can be worded without it."""
    words = f"{error.param or ''} {error.message}"
    for member in _OMITTED:
        if member in words and member not in request.refused:
            return member
    sent = max_tokens_name(request)
    other = MAX_TOKENS if sent == MAX_COMPLETION_TOKENS else MAX_COMPLETION_TOKENS
    if other in request.refused or sent not in words:
        return None
    names_other = other in words.replace(MAX_COMPLETION_TOKENS, "" if other == MAX_TOKENS else other)
    return sent if names_other or any(word in words.lower() for word in _UNKNOWN) else None
