"""Response bodies as Structs, used only to generate JSON schemas: no response is encoded with them.

They describe the responses of this server and of the simulator. A relayed response may have more fields, so all Structs
allow additional fields.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from tokenfall.events import FinishReason

Count = Annotated[int, Meta(ge=0)]
Nanoseconds = Annotated[int, Meta(ge=1)]
Moment = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]


class TokenUsage(Struct):
    prompt_tokens: Count
    completion_tokens: Count
    total_tokens: Count


class WholeAnswer(Struct):
    content: str
    finish_reason: FinishReason
    usage: TokenUsage | None
    model: str
    conversation: str


class HistoryMessage(Struct):
    role: Literal["user", "assistant"]
    content: str
    turn: Annotated[str, Meta(pattern="^turn_[0-9a-f]{24}$")]
    created: float
    model: str | UnsetType = UNSET
    status: Literal["interrupted"] | UnsetType = UNSET
    end_code: str | UnsetType = UNSET
    reasoning: str | UnsetType = UNSET
    thought_s: float | UnsetType = UNSET
    finish_reason: FinishReason | UnsetType = UNSET
    usage: TokenUsage | UnsetType = UNSET


class PayloadItem(Struct):
    content: str
    finish: bool


class StaticDocument(Struct):
    id: str
    type: Literal["static_response"]
    message: str
    payload: list[PayloadItem]


class Health(Struct):
    status: Literal["ok"]
    version: str
    uptime_s: Annotated[float, Meta(ge=0)]


class Readiness(Struct):
    status: Literal["ready", "degraded", "draining", "unavailable"]
    failing: list[str] | UnsetType = UNSET


class Version(Struct):
    name: Literal["tokenfall"]
    version: str


class Simulated(Struct):
    sim: str
    journal: bool
    streams: Count


class NotedRequest(Struct):
    time: float
    id: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str
    truncated: bool


class Journal(Struct):
    journal: bool
    requests: list[NotedRequest]


class GateState(Struct):
    name: str
    open: bool
    tokens: Count
    passed: Count
    waiting: Count


class GateList(Struct):
    gates: list[GateState]


class Description(Struct):
    openapi: Literal["3.1.0"]
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


class Problem(Struct):
    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    code: str
    param: str | UnsetType = UNSET
    request_id: str | UnsetType = UNSET


# OpenAI and Groq


class OpenAIUsage(TokenUsage):
    prompt_tokens_details: dict[str, Count] | UnsetType = UNSET
    completion_tokens_details: dict[str, Count] | UnsetType = UNSET
    queue_time: float | UnsetType = UNSET
    prompt_time: float | UnsetType = UNSET
    completion_time: float | UnsetType = UNSET
    total_time: float | UnsetType = UNSET


class TokenLogprob(Struct):
    token: str
    logprob: float
    bytes: list[Annotated[int, Meta(ge=0, le=255)]]
    top_logprobs: "list[TokenLogprob] | UnsetType" = UNSET


class ChatLogprobs(Struct):
    content: list[TokenLogprob]
    refusal: None


class FunctionCall(Struct):
    name: str
    arguments: str


class Call(Struct):
    id: str
    type: Literal["function", "custom"]
    function: FunctionCall | UnsetType = UNSET
    custom: dict[str, str] | UnsetType = UNSET


class CompletionMessage(Struct):
    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[Call] | UnsetType = UNSET


class ChatChoice(Struct):
    index: Count
    message: CompletionMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(Struct):
    id: Annotated[str, Meta(pattern="^chatcmpl-")]
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: OpenAIUsage
    x_groq: dict[str, str] | UnsetType = UNSET
    usage_breakdown: UnsetType | None = UNSET
    service_tier: str | UnsetType = UNSET


class TextLogprobs(Struct):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[Count]


class TextChoice(Struct):
    index: Count
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Literal["stop", "length", "content_filter"]


class Completion(Struct):
    id: Annotated[str, Meta(pattern="^cmpl-")]
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: TokenUsage


class OutputText(Struct):
    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[Any]


class SummaryText(Struct):
    type: Literal["summary_text"]
    text: str


Status = Literal["in_progress", "completed", "incomplete"]


class OutputMessage(Struct, tag_field="type", tag="message"):
    id: str
    status: Status
    role: Literal["assistant"]
    content: list[OutputText]


class OutputReasoning(Struct, tag_field="type", tag="reasoning"):
    id: str
    status: Status
    summary: list[SummaryText]
    encrypted_content: str | UnsetType = UNSET


class OutputCall(Struct, tag_field="type", tag="function_call"):
    id: str
    status: Status
    call_id: str
    name: str
    arguments: str


class OutputCustomCall(Struct, tag_field="type", tag="custom_tool_call"):
    id: str
    status: Status
    call_id: str
    name: str
    input: str


class InputDetails(Struct):
    cached_tokens: Count
    cache_write_tokens: Count


class ResponseUsage(Struct):
    input_tokens: Count
    input_tokens_details: InputDetails
    output_tokens: Count
    output_tokens_details: dict[str, Count]
    total_tokens: Count


class IncompleteDetails(Struct):
    reason: Literal["max_output_tokens", "content_filter"]


class ResponsesResponse(Struct):
    id: Annotated[str, Meta(pattern="^resp_")]
    object: Literal["response"]
    created_at: int
    status: Status
    background: Literal[False]
    completed_at: int | None
    error: None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    model: str
    output: list[OutputMessage | OutputReasoning | OutputCall | OutputCustomCall]
    parallel_tool_calls: bool
    previous_response_id: None
    reasoning: dict[str, Any]
    service_tier: str
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: Any
    tools: list[Any]
    top_logprobs: int
    top_p: float
    truncation: str
    usage: ResponseUsage
    user: None
    metadata: dict[str, str]


class Embedding(Struct):
    object: Literal["embedding"]
    index: Count
    embedding: list[float] | str


class EmbeddingsUsage(Struct):
    prompt_tokens: Count
    total_tokens: Count


class Embeddings(Struct):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage


class Model(Struct):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(Struct):
    object: Literal["list"]
    data: list[Model]


# Anthropic


class AnthropicModel(Struct):
    type: Literal["model"]
    id: str
    display_name: str
    created_at: Moment
    lifecycle: str


class AnthropicModels(Struct):
    data: list[AnthropicModel]
    has_more: Literal[False]
    first_id: str | None
    last_id: str | None


class TextBlock(Struct, tag_field="type", tag="text"):
    text: str


class ThinkingBlock(Struct, tag_field="type", tag="thinking"):
    thinking: str
    signature: str


class ToolUseBlock(Struct, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: dict[str, Any]


class MessageUsage(Struct):
    input_tokens: Count
    cache_creation_input_tokens: Count
    cache_read_input_tokens: Count
    output_tokens: Count


class AnthropicResponse(Struct):
    id: Annotated[str, Meta(pattern="^msg_")]
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[TextBlock | ThinkingBlock | ToolUseBlock]
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]
    stop_sequence: str | None
    stop_details: dict[str, Any] | None
    usage: MessageUsage


class TokenCount(Struct):
    input_tokens: Count


# Ollama


class OllamaFunction(Struct):
    index: Count
    name: str
    arguments: dict[str, Any]


class OllamaCall(Struct):
    id: str
    function: OllamaFunction


class OllamaMessage(Struct):
    role: Literal["assistant"]
    content: str
    thinking: str | UnsetType = UNSET
    tool_calls: list[OllamaCall] | UnsetType = UNSET


class OllamaDone(Struct, kw_only=True):
    model: str
    created_at: Moment
    done: Literal[True]
    done_reason: Literal["stop", "length", "load", "unload"]
    total_duration: Nanoseconds | UnsetType = UNSET
    load_duration: Nanoseconds | UnsetType = UNSET
    prompt_eval_count: Count | UnsetType = UNSET
    prompt_eval_duration: Nanoseconds | UnsetType = UNSET
    eval_count: Count | UnsetType = UNSET
    eval_duration: Nanoseconds | UnsetType = UNSET
    logprobs: list[TokenLogprob] | UnsetType = UNSET


class OllamaChat(OllamaDone, kw_only=True):
    message: OllamaMessage


class OllamaGenerated(OllamaDone, kw_only=True):
    response: str
    thinking: str | UnsetType = UNSET
    tool_calls: list[OllamaCall] | UnsetType = UNSET


class OllamaEmbed(Struct):
    model: str
    embeddings: list[list[float]]
    total_duration: Nanoseconds
    load_duration: Nanoseconds
    prompt_eval_count: Count


class OllamaEmbedding(Struct):
    embedding: list[float]


class OllamaDetails(Struct):
    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class OllamaShow(Struct):
    license: str
    modelfile: str
    parameters: str
    template: str
    details: OllamaDetails
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: Moment


class OllamaFile(Struct, kw_only=True):
    name: str
    model: str
    size: Count
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    details: OllamaDetails


class OllamaTag(OllamaFile, kw_only=True):
    modified_at: Moment


class OllamaProcess(OllamaFile, kw_only=True):
    expires_at: Moment
    size_vram: Count
    context_length: Count


class OllamaTags(Struct):
    models: list[OllamaTag]


class OllamaProcesses(Struct):
    models: list[OllamaProcess]


class OllamaVersion(Struct):
    version: str
