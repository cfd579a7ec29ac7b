"""Request members that Tokenfall adds and some upstreams refuse. Pure.

A request is first sent with all of them. If the upstream's error names one, the request is sent again without it (or
with its alternative), once per member: see `ChatRequest.refused`. In the same way, what an upstream requires is added:
ids of nine letters and digits (Mistral), a message with the word JSON, signatures of tool calls (Gemini), reasoning of
all assistant messages (DeepSeek, Moonshot).
"""

from tokenfall.errors import UpstreamRefused
from tokenfall.messages import ChatRequest

CALL_IDS = "tool call id was"
"""In Mistral's error: `Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.`"""
JSON_WORD = "the word 'json'"
"""In errors of OpenAI, Groq and DeepSeek: `'messages' must contain the word 'json' in some form`."""
LOGPROBS = "logprobs"
MAX_TOKENS = "max_tokens"
MAX_COMPLETION_TOKENS = "max_completion_tokens"
REASONING_CONTENT = "reasoning_content"
REASONING_EFFORT = "reasoning_effort"
REASONING_REQUIRED = "reasoning_content is required"
"""Not a member: the upstream requires `reasoning_content` in all assistant messages."""
SIGNATURE = "thought_signature"
"""In Gemini's error: `Function call is missing a thought_signature in functionCall parts.`"""
STREAM_OPTIONS = "stream_options"

_IN_ERRORS = (CALL_IDS, JSON_WORD, LOGPROBS, REASONING_CONTENT, REASONING_EFFORT, SIGNATURE, STREAM_OPTIONS)
_NEW_FAMILIES = ("gpt-5", "o1", "o3", "o4", "codex")
"""Models that accept only `max_completion_tokens`."""
_MISSING = ("must be passed back", "missing")
"""In errors of DeepSeek and Moonshot, which require `reasoning_content`."""
_UNKNOWN = ("unsupported", "unrecognized", "unknown", "unexpected", "not supported", "not permitted", "extra")


def max_tokens_name(request: ChatRequest) -> str:
    """The name of the member that limits the response length."""
    if MAX_TOKENS in request.refused:
        return MAX_COMPLETION_TOKENS
    family = request.model.rpartition("/")[2].lower()
    if family.startswith(_NEW_FAMILIES) and MAX_COMPLETION_TOKENS not in request.refused:
        return MAX_COMPLETION_TOKENS
    return MAX_TOKENS


def refused_member(error: UpstreamRefused, request: ChatRequest) -> str | None:
    """The change by which the request can be sent after `error`, as in `ChatRequest.refused`: a member to omit, or a
    requirement. None if there is none.
    """
    text = f"{error.param or ''} {error.message}"
    for member in _IN_ERRORS:
        if member not in text.lower() or member in request.refused or not _is_sent(member, request):
            continue
        if member != REASONING_CONTENT or not any(word in text.lower() for word in _MISSING):
            return member
        if REASONING_REQUIRED not in request.refused:
            return REASONING_REQUIRED
    sent = max_tokens_name(request)
    other = MAX_TOKENS if sent == MAX_COMPLETION_TOKENS else MAX_COMPLETION_TOKENS
    if other in request.refused or sent not in text:
        return None
    names_other = other in text.replace(MAX_COMPLETION_TOKENS, "" if other == MAX_TOKENS else other)
    return sent if names_other or any(word in text.lower() for word in _UNKNOWN) else None


def _is_sent(member: str, request: ChatRequest) -> bool:
    """Whether a request has the member, unless it was refused."""
    if member in (CALL_IDS, SIGNATURE):
        return any(message.tool_calls for message in request.messages)
    if member == JSON_WORD:
        return request.json_object
    if member == LOGPROBS:
        return request.logprobs is not None
    if member == REASONING_CONTENT:
        return any(message.role == "assistant" for message in request.messages)
    return member != REASONING_EFFORT or request.reasoning or request.effort != ""
