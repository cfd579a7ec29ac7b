"""The table of all chat dialects by name. Pure."""

from msgspec.structs import replace

from tokenfall.wire import rate_limit_headers as ratelimits
from tokenfall.wire.anthropic.response import ANTHROPIC
from tokenfall.wire.dialect import Dialect, ParsedRequest, ResponseMeta
from tokenfall.wire.ollama.document import load_response
from tokenfall.wire.ollama.response import OLLAMA_CHAT, OLLAMA_GENERATE
from tokenfall.wire.openai.completions.response import OPENAI_COMPLETIONS
from tokenfall.wire.openai.response import GROQ_CHAT, OPENAI_CHAT
from tokenfall.wire.openai.responses.response import OPENAI_RESPONSES

_OPENAI = (OPENAI_CHAT, GROQ_CHAT, OPENAI_COMPLETIONS, OPENAI_RESPONSES)
_OLLAMA = (OLLAMA_CHAT, OLLAMA_GENERATE)


def _load_or_none(parsed: ParsedRequest, meta: ResponseMeta) -> bytes | None:
    """An Ollama request without messages or prompt only loads or unloads the model."""
    return load_response(parsed, meta) if parsed.options.load else None


DIALECTS: dict[str, Dialect] = {
    **{dialect.name: replace(dialect, limits=ratelimits.openai) for dialect in _OPENAI},
    ANTHROPIC.name: replace(ANTHROPIC, limits=ratelimits.anthropic),
    **{dialect.name: replace(dialect, immediate_response=_load_or_none) for dialect in _OLLAMA},
}
