"""The operations of the providers' routes. Those of chats are made from their dialects."""

from functools import partial

from tokenfall.api.openapi.failures import ErrorFormat
from tokenfall.api.openapi.operation import UPSTREAM, Operation
from tokenfall.wire.anthropic import models as anthropic_models
from tokenfall.wire.anthropic import request as anthropic_request
from tokenfall.wire.anthropic.errors import error as anthropic_error
from tokenfall.wire.dialects import DIALECTS
from tokenfall.wire.ollama import embeddings as ollama_embeddings
from tokenfall.wire.ollama import models as ollama_models
from tokenfall.wire.ollama.response import error as ollama_error
from tokenfall.wire.openai import embeddings as openai_embeddings
from tokenfall.wire.openai import models as openai_models
from tokenfall.wire.openai.errors import error as openai_error

_LIST = (502, 503, 504)

_openai = partial(Operation, tag="openai", errors=ErrorFormat("OpenAI", (openai_error,)))
_model = partial(Operation, tag="openai", errors=ErrorFormat("Model", (openai_error, anthropic_error)))
_anthropic = partial(Operation, tag="anthropic", errors=ErrorFormat("Anthropic", (anthropic_error,)))
_ollama = partial(Operation, tag="ollama", errors=ErrorFormat("Ollama", (ollama_error,)))


def _chat(name: str, summary: str, *, errors: str) -> Operation:
    """The operation of a dialect. `errors` is the prefix of its error responses' names."""
    dialect = DIALECTS[name]
    return Operation(
        summary=summary,
        tag="openai" if name == "groq.chat" else name.partition(".")[0],
        body=dialect.body,
        responses=(dialect.response,),
        media=(dialect.stream_type,),
        parameters=("X-Sim",),
        failures=UPSTREAM,
        errors=ErrorFormat(errors, (dialect.error,)),
    )


PROVIDERS = {
    "openai.chat": _chat("openai.chat", "Chat completion", errors="OpenAI"),
    "groq.chat": _chat("groq.chat", "Chat completion in Groq's format", errors="OpenAI"),
    "openai.completions": _chat("openai.completions", "Legacy completion", errors="OpenAI"),
    "openai.responses": _chat("openai.responses", "Model response", errors="OpenAIResponse"),
    "openai.embeddings": _openai(
        summary="Embeddings",
        body=openai_embeddings.EmbeddingsBody,
        responses=(openai_embeddings.Embeddings,),
        failures=UPSTREAM,
    ),
    "openai.models": _model(
        summary="List the models; in Anthropic's format if the anthropic-version header is set",
        responses=(openai_models.Models, anthropic_models.AnthropicModels),
        parameters=("anthropic-version",),
        failures=_LIST,
    ),
    "openai.model": _model(
        summary="Get a model; in Anthropic's format if the anthropic-version header is set",
        responses=(openai_models.Model, anthropic_models.AnthropicModel),
        parameters=("model", "anthropic-version"),
        failures=(404, *_LIST),
    ),
    "anthropic": _chat("anthropic", "Message", errors="Anthropic"),
    "anthropic.count": _anthropic(
        summary="Count the tokens of a message",
        body=anthropic_request.CountTokensBody,
        responses=(anthropic_models.TokenCount,),
        failures=(400,),
    ),
    "ollama.chat": _chat("ollama.chat", "Chat completion", errors="Ollama"),
    "ollama.generate": _chat("ollama.generate", "Text completion", errors="Ollama"),
    "ollama.embed": _ollama(
        summary="Embeddings",
        body=ollama_embeddings.OllamaEmbedBody,
        responses=(ollama_embeddings.OllamaEmbed,),
        failures=UPSTREAM,
    ),
    "ollama.embeddings": _ollama(
        summary="Embedding of one text",
        body=ollama_embeddings.OllamaEmbeddingsBody,
        responses=(ollama_embeddings.OllamaEmbedding,),
        failures=UPSTREAM,
    ),
    "ollama.show": _ollama(
        summary="Get a model",
        body=ollama_models.OllamaShowBody,
        responses=(ollama_models.OllamaShow,),
        failures=(404, *UPSTREAM),
    ),
    "ollama.tags": _ollama(summary="List the models", responses=(ollama_models.OllamaTags,), failures=_LIST),
    "ollama.ps": _ollama(
        summary="List the models in memory", responses=(ollama_models.OllamaProcesses,), failures=_LIST
    ),
    "ollama.version": _ollama(summary="Ollama version", responses=(ollama_models.OllamaVersion,)),
}
