"""Server side of Ollama's `POST /api/show`, `GET /api/tags`, `/api/ps` and `/api/version`. Pure.

Source: Ollama's Go types (`api.ShowResponse`, `api.ListResponse`, `api.ProcessResponse`) and its API reference. There
are no model files: digest and size are derived from the model's name, and are the same in every process.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tokenfall.wire.api_error import ApiError
from tokenfall.wire.dialect import Count, decoded
from tokenfall.wire.ollama.request import model_name
from tokenfall.wire.ollama.response import error
from tokenfall.wire.openai.embeddings import DIMENSIONS
from tokenfall.wire.times import Timestamp, rfc3339

ARCHITECTURE = "tokenfall"
CONTEXT_LENGTH = 131_072
CAPABILITIES = ("completion", "tools", "vision", "thinking")
PARAMETERS = 8_030_261_248
TEMPLATE = "{{ .System }} {{ .Prompt }} {{ .Response }}"
LICENSE = "MIT"

_encode = msgspec.json.encode
_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class OllamaDetails(Struct, frozen=True, kw_only=True):
    parent_model: str = ""
    format: str = "gguf"
    family: str = ARCHITECTURE
    families: tuple[str, ...] = (ARCHITECTURE,)
    parameter_size: str = "8.0B"
    quantization_level: str = "Q4_K_M"


_DETAILS = OllamaDetails()


class OllamaShow(Struct, frozen=True, kw_only=True):
    license: str = LICENSE
    modelfile: str
    parameters: str = f"num_ctx                        {CONTEXT_LENGTH}"
    template: str = TEMPLATE
    details: OllamaDetails = _DETAILS
    model_info: dict[str, Any]
    capabilities: tuple[str, ...] = CAPABILITIES
    modified_at: Timestamp


class OllamaTag(Struct, frozen=True, kw_only=True):
    name: str
    model: str
    modified_at: Timestamp
    size: Count
    digest: _Digest
    details: OllamaDetails = _DETAILS


class OllamaProcess(Struct, frozen=True, kw_only=True):
    name: str
    model: str
    size: Count
    digest: _Digest
    details: OllamaDetails = _DETAILS
    expires_at: Timestamp
    size_vram: Count
    context_length: Count = CONTEXT_LENGTH


class OllamaTags(Struct, frozen=True):
    models: list[OllamaTag]


class OllamaProcesses(Struct, frozen=True):
    models: list[OllamaProcess]


class OllamaVersion(Struct, frozen=True):
    version: str


class OllamaShowBody(Struct):
    model: str | None = None
    name: str | None = None


_show = msgspec.json.Decoder(OllamaShowBody)


def decode_show(body: bytes) -> str:
    """The model in a request to `/api/show`: `model`, or the older member `name`. Raises `InvalidRequest`."""
    read = decoded(_show, body)
    return model_name(read.model or read.name)


def show(name: str, modified_s: float) -> bytes:
    """One model. `modified_s` is Unix time."""
    info = {
        "general.architecture": ARCHITECTURE,
        "general.basename": name,
        "general.parameter_count": PARAMETERS,
        f"{ARCHITECTURE}.context_length": CONTEXT_LENGTH,
        f"{ARCHITECTURE}.embedding_length": DIMENSIONS,
    }
    return _encode(OllamaShow(modelfile=f"FROM {name}", model_info=info, modified_at=rfc3339(modified_s)))


def tags(names: Sequence[str], modified_s: float) -> bytes:
    """All models, in the order of `names`. `modified_s` is Unix time."""
    modified = rfc3339(modified_s)
    return _encode(
        OllamaTags([OllamaTag(name=name, model=name, modified_at=modified, **_file(name)) for name in names])
    )


def running(names: Sequence[str], expires_s: float) -> bytes:
    """The loaded models. `expires_s`, when they are unloaded, is Unix time."""
    return _encode(OllamaProcesses([_process(name, rfc3339(expires_s)) for name in names]))


def _process(name: str, expires: str) -> OllamaProcess:
    file = _file(name)
    return OllamaProcess(name=name, model=name, **file, expires_at=expires, size_vram=file["size"])


def version(text: str) -> bytes:
    """The response of `GET /api/version`."""
    return _encode(OllamaVersion(text))


def no_such_model(name: str) -> bytes:
    """The body of the 404 for an unknown model."""
    return error(ApiError(status=404, code="not_found", message=f"model '{name[:200]}' not found", param="model"))


def _file(name: str) -> dict[str, Any]:
    """A plausible size in bytes and SHA-256 digest of a model file."""
    from hashlib import sha256  # noqa: PLC0415 - needed only to list models

    digest = sha256(name.encode()).hexdigest()
    return {"size": 4_000_000_000 + int(digest[:8], 16), "digest": digest}
