"""Encodes streams of `POST /api/chat` and `POST /api/generate`: NDJSON, one line per token. Pure.

A tool call is one complete line, so its tokens are buffered. Must not depend on how the response is generated.
"""

from typing import Any

import msgspec
from msgspec import Struct

from tokenfall.events import Finished, FinishReason
from tokenfall.messages import ToolCall
from tokenfall.wire.dialect import ContentBlock, ParsedRequest, ResponseMeta, ResponseTiming
from tokenfall.wire.json_lines import one_line
from tokenfall.wire.ollama.document import call_document, final_members, model_and_time
from tokenfall.wire.ollama.request import OllamaOptions
from tokenfall.wire.openai.logprobs import logprobs

_encode = msgspec.json.encode


class _Form(Struct, frozen=True):
    """JSON templates of a route: the prefix of each kind of output, and the common suffix."""

    text: bytes
    thought: bytes
    calls: bytes
    close: bytes


_CHAT = _Form(
    b'"message":{"role":"assistant","content":',
    b'"message":{"role":"assistant","content":"","thinking":',
    b'"message":{"role":"assistant","content":"","tool_calls":',
    b"}",
)
_GENERATE = _Form(b'"response":', b'"response":"","thinking":', b'"response":"","tool_calls":', b"")
_MORE = b',"done":false}\n'


class LineEncoder:
    """Implements `Encoder`. The tokens of a tool call are buffered until its block ends."""

    def __init__(self, parsed: ParsedRequest, meta: ResponseMeta) -> None:
        self._options: OllamaOptions = parsed.options
        self._form = _GENERATE if self._options.generate else _CHAT
        self._head = one_line(_encode(model_and_time(meta)))[:-1] + b","
        self._block = ContentBlock("text")
        self._arguments: list[str] = []

    def open(self, block: ContentBlock) -> bytes:
        line = self._close()
        self._block = block
        return line

    def frame_template(self) -> tuple[bytes, bytes] | None:
        if self._block.kind == "call" or (self._options.logprobs and self._block.kind == "text"):
            return None
        before = self._form.text if self._block.kind == "text" else self._form.thought
        return self._head + before, self._form.close + _MORE

    def token(self, text: str) -> bytes:
        if self._block.kind == "call":
            self._arguments.append(text)
            return b""
        content = _encode(logprobs((text,), self._options.top_logprobs).content)
        return self.token_with_logprobs(text, content[1:-1])

    def token_with_logprobs(self, text: str, logprobs: bytes) -> bytes:
        """The line of text that has log probabilities of the upstream."""
        line = self._head + self._form.text + one_line(_encode(text)) + self._form.close
        return line + b',"logprobs":[%b]' % one_line(logprobs) + _MORE

    def finish(self, choice: int, reason: FinishReason) -> bytes:
        return self.open(ContentBlock("text", choice))

    def end(self, finished: Finished, timing: ResponseTiming) -> bytes:
        members = _encode(self.final_members(finished, timing))
        return self._head + self._form.text + b'""' + self._form.close + b',"done":true,' + members[1:] + b"\n"

    def final_members(self, finished: Finished, timing: ResponseTiming) -> dict[str, Any]:
        """The members that only the last line has."""
        return final_members(finished, timing)

    def _close(self) -> bytes:
        """The line of the open call, if there is one; incomplete arguments are sent as text, as Ollama does."""
        call = self._block.call
        if call is None:
            return b""
        arguments = "".join(self._arguments)
        self._arguments.clear()
        document = call_document(ToolCall(call.id, call.name, arguments), self._block.index)
        before, value = (self._form.text, arguments) if document is None else (self._form.calls, [document])
        return self._head + before + one_line(_encode(value)) + self._form.close + _MORE
