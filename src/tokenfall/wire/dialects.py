"""The table of all chat dialects by name. Pure."""

from tokenfall.wire.anthropic.response import ANTHROPIC
from tokenfall.wire.dialect import Dialect
from tokenfall.wire.ollama.response import OLLAMA_CHAT, OLLAMA_GENERATE
from tokenfall.wire.openai.completions.response import OPENAI_COMPLETIONS
from tokenfall.wire.openai.response import GROQ_CHAT, OPENAI_CHAT
from tokenfall.wire.openai.responses.response import OPENAI_RESPONSES

_ALL = (OPENAI_CHAT, GROQ_CHAT, OPENAI_COMPLETIONS, OPENAI_RESPONSES, ANTHROPIC, OLLAMA_CHAT, OLLAMA_GENERATE)

DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in _ALL}
