"""The JSON documents of responses to `POST /api/chat` and `POST /api/generate`. Pure.

Source: Ollama's Go types (`api.ChatResponse`, `api.GenerateResponse`, `api.Metrics`), which also give the order of the
fields, and its API reference. Metrics are always present and durations, in nanoseconds, are never 0: clients divide by
them. A finish reason of `content_filter` becomes `stop`, as this dialect has no other. Must not depend on streams.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tokenfall.events import Finished
from tokenfall.messages import ToolCall
from tokenfall.wire.dialect import Count, ModelResponse, ParsedRequest, RawSchema, ResponseMeta, ResponseTiming
from tokenfall.wire.ollama.messages import object_text
from tokenfall.wire.ollama.request import OllamaOptions
from tokenfall.wire.openai.logprobs import TokenLogprob, check_size, logprobs_lazily
from tokenfall.wire.times import Timestamp, rfc3339

Nanoseconds = Annotated[int, Meta(ge=1)]
Context = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "array", "items": {"type": "integer"}})]
"""An array of integers, encoded."""


class OllamaFunction(Struct, frozen=True):
    """The function of a call."""

    index: Count
    name: str
    arguments: RawSchema
    """A JSON object."""


class OllamaCall(Struct, frozen=True):
    """A complete tool call."""

    id: str
    function: OllamaFunction


class OllamaMessage(Struct, frozen=True, kw_only=True):
    """The message of a response to `/api/chat`."""

    role: Literal["assistant"] = "assistant"
    content: str
    thinking: str | UnsetType = UNSET
    tool_calls: list[OllamaCall] | UnsetType = UNSET


class OllamaChat(Struct, frozen=True, kw_only=True):
    """A response to `/api/chat`. Without metrics if the request only loaded or unloaded the model."""

    model: str
    created_at: Timestamp
    message: OllamaMessage
    done: Literal[True] = True
    done_reason: Literal["stop", "length", "load", "unload"]
    total_duration: Nanoseconds | UnsetType = UNSET
    load_duration: Nanoseconds | UnsetType = UNSET
    prompt_eval_count: Count | UnsetType = UNSET
    prompt_eval_duration: Nanoseconds | UnsetType = UNSET
    eval_count: Count | UnsetType = UNSET
    eval_duration: Nanoseconds | UnsetType = UNSET
    logprobs: list[TokenLogprob] | UnsetType = UNSET


class OllamaGenerated(Struct, frozen=True, kw_only=True):
    """A response to `/api/generate`. Without metrics if the request only loaded or unloaded the model."""

    model: str
    created_at: Timestamp
    response: str
    thinking: str | UnsetType = UNSET
    tool_calls: list[OllamaCall] | UnsetType = UNSET
    done: Literal[True] = True
    done_reason: Literal["stop", "length", "load", "unload"]
    context: Context | UnsetType = UNSET
    """Only of relayed requests; see `tokenfall.wire.ollama.context`."""
    total_duration: Nanoseconds | UnsetType = UNSET
    load_duration: Nanoseconds | UnsetType = UNSET
    prompt_eval_count: Count | UnsetType = UNSET
    prompt_eval_duration: Nanoseconds | UnsetType = UNSET
    eval_count: Count | UnsetType = UNSET
    eval_duration: Nanoseconds | UnsetType = UNSET
    logprobs: list[TokenLogprob] | UnsetType = UNSET


def call_document(call: ToolCall, index: int) -> OllamaCall | None:
    """A complete tool call; None if its arguments are not a JSON object. Empty arguments are an empty object."""
    arguments = object_text(call.arguments.encode() or b"{}")
    if arguments is None:
        return None
    return OllamaCall(call.id, OllamaFunction(index, call.name, msgspec.Raw(arguments.encode())))


def nanoseconds(seconds: float) -> int:
    """A duration in nanoseconds, at least 1."""
    return max(1, round(seconds * 1e9))


def final_members(finished: Finished, timing: ResponseTiming) -> dict[str, Any]:
    """The members that follow the output: reason, token counts and durations."""
    usage = finished.usage
    return {
        "done_reason": "length" if finished.reason == "length" else "stop",
        "total_duration": nanoseconds(timing.total_s),
        "load_duration": nanoseconds(0.0),
        "prompt_eval_count": 0 if usage is None else usage.prompt_tokens,
        "prompt_eval_duration": nanoseconds(timing.first_token_s),
        "eval_count": 0 if usage is None else usage.completion_tokens,
        "eval_duration": nanoseconds(timing.total_s - timing.first_token_s),
    }


def response_document(parsed: ParsedRequest, response: ModelResponse) -> OllamaChat | OllamaGenerated:
    """A complete response; this dialect has one choice."""
    choice = response.choices[0]
    text = choice.text
    calls = []
    for index, call in enumerate(choice.calls):
        call_member = call_document(call, index)
        if call_member is None:
            text += call.arguments
        else:
            calls.append(call_member)
    end = final_members(response.finished, response.timing)
    options: OllamaOptions = parsed.options
    if options.logprobs:
        check_size(len(choice.tokens), options.top_logprobs)
        end["logprobs"] = logprobs_lazily(choice.tokens, options.top_logprobs).content
    elif choice.logprobs:
        end["logprobs"] = msgspec.Raw(b"[%b]" % choice.logprobs)
    return _document(options, response.meta, text=text, thought=choice.thought, calls=calls, end=end)


def load_response(parsed: ParsedRequest, meta: ResponseMeta) -> bytes | None:
    """The response to a request that only loads or unloads the model: one `application/json` document. None for others.

    Such a request has no messages or prompt.
    """
    options: OllamaOptions = parsed.options
    if not options.load:
        return None
    reason = "unload" if options.unload else "load"
    return msgspec.json.encode(_document(options, meta, end={"done_reason": reason}))


def _document(
    options: OllamaOptions,
    meta: ResponseMeta,
    *,
    text: str = "",
    thought: str = "",
    calls: Sequence[OllamaCall] = (),
    end: dict[str, Any],
) -> OllamaChat | OllamaGenerated:
    """The response of either route. `end` has the members after the output."""
    output: dict[str, Any] = {"thinking": thought or UNSET, "tool_calls": calls or UNSET}
    if options.generate:
        return OllamaGenerated(**model_and_time(meta), response=text, **output, **end)
    return OllamaChat(**model_and_time(meta), message=OllamaMessage(content=text, **output), **end)


def model_and_time(meta: ResponseMeta) -> dict[str, Any]:
    """The first members of a response, and of each line of a stream."""
    return {"model": meta.model, "created_at": rfc3339(meta.created_s)}
