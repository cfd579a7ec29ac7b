"""Rewrites: changes to a request, each of which some upstreams need to accept it. Pure.

A request is first sent without any. If the upstream's error shows which one it needs, the request is sent again with
it, once per rewrite: see `ChatRequest.rewrites`. Most omit a member that Tokenfall adds, or send its alternative, and
are named after it. The others add what an upstream requires: ids of nine letters and digits (Mistral), a message with
the word JSON, signatures of tool calls (Gemini), reasoning of all assistant messages (DeepSeek, Moonshot).
"""

from tokenfall.errors import UpstreamRefused
from tokenfall.messages import ChatRequest
from tokenfall.wire.upstream.strict_schema import fits_strict

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
"""Adds `reasoning_content` to all assistant messages."""
SIGNATURE = "thought_signature"
"""In Gemini's error: `Function call is missing a thought_signature in functionCall parts.`"""
STREAM_OPTIONS = "stream_options"
STRICT = "schema for response_format"
"""In errors of OpenAI and Groq: `Invalid schema for response_format 'answer'`, which without `strict` is accepted."""

_IN_ERRORS = (CALL_IDS, JSON_WORD, LOGPROBS, REASONING_CONTENT, REASONING_EFFORT, SIGNATURE, STREAM_OPTIONS, STRICT)
REWRITES = (*_IN_ERRORS, MAX_TOKENS, MAX_COMPLETION_TOKENS, REASONING_REQUIRED)
_NEW_FAMILIES = ("gpt-5", "o1", "o3", "o4", "codex")
"""Models that accept only `max_completion_tokens`."""
_MISSING = ("must be passed back", "missing")
"""In errors of DeepSeek and Moonshot, which require `reasoning_content`."""
_UNKNOWN = ("unsupported", "unrecognized", "unknown", "unexpected", "not supported", "not permitted", "extra")


def max_tokens_name(request: ChatRequest) -> str:
    """The name of the member that limits the response length."""
    if MAX_TOKENS in request.rewrites:
        return MAX_COMPLETION_TOKENS
    family = request.model.rpartition("/")[2].lower()
    if family.startswith(_NEW_FAMILIES) and MAX_COMPLETION_TOKENS not in request.rewrites:
        return MAX_COMPLETION_TOKENS
    return MAX_TOKENS


def omitted_value(rewrite: str, request: ChatRequest) -> object:
    """The caller's value that a rewrite omits, or the one that it depends on; None if there is none."""
    if rewrite == LOGPROBS:
        return request.logprobs
    if rewrite == STRICT:
        return hash(request.schema)
    return request.effort if rewrite == REASONING_EFFORT else None


def needed_rewrite(error: UpstreamRefused, request: ChatRequest) -> str | None:
    """The rewrite, beside those that the request has, with which it can be sent after `error`; None if none helps."""
    text = f"{error.param or ''} {error.message}"
    for member in _IN_ERRORS:
        if member not in text.lower() or member in request.rewrites or not _is_sent(member, request):
            continue
        if member != REASONING_CONTENT or not any(word in text.lower() for word in _MISSING):
            return member
        if REASONING_REQUIRED not in request.rewrites:
            return REASONING_REQUIRED
    sent = max_tokens_name(request)
    other = MAX_TOKENS if sent == MAX_COMPLETION_TOKENS else MAX_COMPLETION_TOKENS
    if other in request.rewrites or sent not in text:
        return None
    names_other = other in text.replace(MAX_COMPLETION_TOKENS, "" if other == MAX_TOKENS else other)
    return sent if names_other or any(word in text.lower() for word in _UNKNOWN) else None


def _is_sent(member: str, request: ChatRequest) -> bool:
    """Whether a request without rewrites has the member."""
    if member in (CALL_IDS, SIGNATURE):
        return any(message.tool_calls for message in request.messages)
    if member == JSON_WORD:
        return request.json_object
    if member == LOGPROBS:
        return request.logprobs is not None
    if member == STRICT:
        return request.schema is not None and fits_strict(request.schema)
    if member == REASONING_CONTENT:
        return any(message.role == "assistant" for message in request.messages)
    return member != REASONING_EFFORT or request.reasoning or request.effort != ""
