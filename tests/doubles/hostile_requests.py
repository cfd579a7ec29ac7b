"""The most expensive valid requests: one for each size, number and list that a caller controls.

Each value builds the bytes of a request. They are built on demand, since together they have some 60 megabytes.
"""

import json
from collections.abc import Callable
from typing import Any

from tests.end_to_end.client import request

MOST = 1_000_000
"""Characters of a text that nearly fills the largest body."""

Make = Callable[[], bytes]


def post(path: str, body: object, **headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    return request(path, method="POST", body=data, **headers)


def user(content: Any) -> list[dict[str, Any]]:  # a text, or the parts of a content
    return [{"role": "user", "content": content}]


def chat(sim: str = "", /, *, path: str = "/v1/chat/completions", **fields: Any) -> bytes:
    sent = {"model": f"sim:gap=0us{sim and ','}{sim}", "messages": user("hi")}
    return post(path, sent | fields)


def turn(**fields: Any) -> bytes:
    """A non-streaming turn of the chat page without pauses."""
    return post("/chat", {"messages": user("hi"), "stream": False} | fields, X_Sim="gap=0us")


def prompt(sim: str = "", /, **fields: Any) -> bytes:
    return post("/v1/completions", {"model": f"sim:gap=0us{sim and ','}{sim}", "prompt": "hi"} | fields)


def ollama(**fields: Any) -> bytes:
    return chat(path="/api/chat", stream=False, **fields)


def anthropic(**fields: Any) -> bytes:
    return chat(path="/v1/messages", **({"max_tokens": 100} | fields))


def responses(sim: str = "", /, **fields: Any) -> bytes:
    return post("/v1/responses", {"model": f"sim:gap=0us{sim and ','}{sim}", "input": "hi"} | fields)


def embed(**fields: Any) -> bytes:
    return post("/v1/embeddings", {"model": "sim", "input": "hi"} | fields)


def in_chat(member: bytes) -> bytes:
    """Return a chat request whose body has one more member, given as raw JSON."""
    return post(
        "/v1/chat/completions", b'{"model":"sim:gap=0us","messages":[{"role":"user","content":"a"}],' + member + b"}"
    )


def in_tool(value: bytes) -> bytes:
    """Return a chat request with this raw JSON value in a tool's schema."""
    return in_chat(b'"tools":[{"type":"function","function":{"name":"a","parameters":{"x":' + value + b"}}}]")


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def sim(method: str, text: str, path: str = "/sim") -> bytes:
    return request(path, method=method, body=json.dumps({"sim": text}))


def call(number: int) -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"{number}", "name": "f", "arguments": ""}


def output(number: int) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": f"{number}", "output": ""}


def tool_use(number: int) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"{number}", "name": "a", "input": {}}


def tool_result(number: int) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": f"{number}", "content": "a"}


def with_schema(schema: dict[str, Any]) -> bytes:
    return chat(response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema}})


def imported(messages: int, **fields: Any) -> bytes:
    """Return a request that imports a conversation."""
    items = [{"role": "assistant" if number % 2 else "user", "content": "a"} | fields for number in range(messages)]
    return post("/conversations", {"title": "a", "messages": items})


TEXTS: dict[str, Make] = {
    "echo of spaces": lambda: chat("text=echo", messages=user(" " * MOST)),
    "echo of words": lambda: chat("text=echo", messages=user("a " * (MOST // 2))),
    "echo of words as a stream": lambda: chat("text=echo", messages=user("a " * (MOST // 2)), stream=True),
    "echo of one word": lambda: chat("text=echo", messages=user("a" * MOST)),
    "echo of one word again and again": lambda: chat("text=echo,tokens=1000000", messages=user("a" * MOST)),
    "echoed prompt of spaces": lambda: prompt(prompt=" " * MOST, echo=True, logprobs=5),
    "echoed prompt of words": lambda: prompt(prompt="a " * (MOST // 2), echo=True, logprobs=5),
    "echoed prompt of words as a stream": lambda: prompt(prompt="a " * (MOST // 2), echo=True, logprobs=5, stream=True),
    "20 echoed prompts, n=6": lambda: prompt(prompt=["a " * 25_000] * 20, echo=True, n=6),
    "echoed prompt, n=128": lambda: prompt(prompt="a" * MOST, echo=True, n=128),
    "prompt of words": lambda: ollama(messages=user("a " * (MOST // 2))),
    "tokens counted": lambda: post("/v1/messages/count_tokens", {"model": "sim", "messages": user("a " * (MOST // 2))}),
    "text embedded": lambda: embed(input="a " * (MOST // 2)),
    "message to /chat": lambda: turn(messages=user("a " * 25_000)),
    "imported texts": lambda: imported(2, content="a " * (MOST // 6)),
    "found in no conversation": lambda: request("/conversations?search=" + "b" * 199),
    "16 words found in no conversation": lambda: request(
        "/conversations?search=" + "+".join(f"b{n}" for n in range(16))
    ),
    "search of 4,000 words": lambda: request("/conversations?search=" + "b+" * 4_000),
    "names of tools in a text": lambda: chat(
        tools=[function(f"f{number}") for number in range(128)], messages=user("f " * (MOST // 2))
    ),
    "names of tools that nearly are in a text": lambda: anthropic(
        tools=[{"name": f"{'a' * 118}b{'a' * 9}", "input_schema": {"type": "object"}}] * 1_024,
        messages=user("a" * 700_000),
    ),
    "stop texts of 250 kB": lambda: chat("tokens=1000000,text=words", stop=["a" * 250_000] * 3 + ["zz"], stream=True),
    "stop text in an echo": lambda: chat("text=echo", messages=user("a" * 600_000), stop=["a" * 300_000 + "b"]),
    "image of one megabyte": lambda: ollama(messages=[*user("a"), {"role": "user", "images": ["a" * 900_000]}]),
    "image of line ends": lambda: ollama(messages=[*user("a"), {"role": "user", "images": ["\n" * 400_000 + "!"]}]),
    "keep_alive of digits": lambda: ollama(keep_alive="1" * MOST),
    "keep_alive of hours": lambda: ollama(keep_alive="1h" * (MOST // 2) + "x"),
}

NUMBERS: dict[str, Make] = {
    "1,000,000 tokens": lambda: chat("tokens=1000000"),
    "1,000,000 tokens of Anthropic": lambda: anthropic(model="sim:tokens=1000000,gap=0us", max_tokens=1_000_000),
    "1,000,000 tokens of a response": lambda: responses("tokens=1000000"),
    "1,000,000 random words": lambda: chat("tokens=1000000,text=words"),
    "1,000,000 random words as a stream": lambda: chat("tokens=1000000,text=words", stream=True),
    "1,000,000 random gaps": lambda: chat(model="sim:tokens=1000000,gap=1us~0.5"),
    "200,000 tokens under load": lambda: chat("tokens=200000,load=2@64"),
    "a fault after 200,000 tokens": lambda: chat("tokens=200000,fault=error@200000"),
    "a fault after 200,000 tokens of a stream": lambda: chat("tokens=200000,fault=error@200000", stream=True),
    "a fault within 1,000,000 random words": lambda: chat("tokens=1000000,text=words,fault=error@200000"),
    "a fault within 1,000,000 random words of a stream": lambda: chat(
        "tokens=1000000,text=words,fault=error@200000", stream=True
    ),
    "a fault within 1,000,000 words of a plain stream": lambda: request(
        "/stream-sse?tokens=1000000&text=words&gap=0us&fault=error@200000"
    ),
    "fewer than 1,000,000 random words": lambda: chat("tokens=1000000,text=words", max_tokens=900_000, stream=True),
    "16 faults": lambda: chat(model="sim").replace(
        b"\r\n\r\n", b"\r\nX-Sim: tokens=20000,gap=0us,fault=" + b"+".join([b"drip@9:1us"] * 16) + b"\r\n\r\n", 1
    ),
    "n=128": lambda: chat("tokens=8000", n=128),
    "n=128 as a stream": lambda: chat("tokens=8000", n=128, stream=True),
    "max_tokens and ignore_eos": lambda: chat(ignore_eos=True, max_tokens=1_000_000),
    "min_tokens": lambda: chat(min_tokens=1_000_000),
    "top_logprobs=20": lambda: chat("tokens=6000", logprobs=True, top_logprobs=20),
    "too many logprobs": lambda: chat("tokens=1000000", logprobs=True, top_logprobs=20),
    "logprobs=5": lambda: prompt(prompt="a " * 10_000, echo=True, logprobs=5),
    "dimensions": lambda: embed(input=["a"] * 200, dimensions=4_096),
    "dimensions, too large together": lambda: embed(input=["a"] * 2_048, dimensions=4_096),
    "dimensions in base64": lambda: embed(input=["a"] * 500, dimensions=4_096, encoding_format="base64"),
    "num_predict and num_ctx": lambda: ollama(options={"num_predict": 10**9, "num_ctx": 10**9}),
    "tokens of a gate": lambda: request("/sim/gates/g", method="PATCH", body='{"tokens":1000000}'),
    "a number of a million digits": lambda: in_chat(b'"seed":' + b"1" * MOST),
    "a fraction of a million digits": lambda: in_chat(b'"temperature":0.' + b"1" * MOST),
    "a million digits in a schema": lambda: in_tool(b"1" * MOST),
}

LISTS: dict[str, Make] = {
    "2,048 messages": lambda: chat(messages=user("a") * 2_048),
    "30,000 messages": lambda: chat(messages=user("a") * 30_000),
    "2,048 messages of Anthropic": lambda: anthropic(messages=user("a") * 2_048),
    "1,536 blocks of Anthropic": lambda: anthropic(messages=user([{"type": "text", "text": "a"}]) * 1_536),
    "600 images of Anthropic": lambda: anthropic(
        messages=user([{"type": "image", "source": {"type": "url", "url": "https://a"}}]) * 600
    ),
    "1,536 blocks of a system prompt": lambda: anthropic(system=[{"type": "text", "text": "a"}] * 1_536),
    "1,200 calls and results of Anthropic": lambda: anthropic(
        messages=[
            {"role": "assistant", "content": [tool_use(number) for number in range(600)]},
            *user([tool_result(number) for number in range(600)]),
        ]
    ),
    "2,048 messages of Ollama": lambda: ollama(messages=user("a") * 2_048),
    "2,048 calls of Ollama": lambda: ollama(
        messages=[{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}] * 2_048}, *user("a")]
    ),
    "2,048 messages of /chat": lambda: turn(messages=user("a") * 2_048),
    "1,000 imported messages": lambda: imported(1_000),
    "4,000 variants of imported messages": lambda: imported(
        1_000, variants=[{"role": "assistant", "content": "a"}] * 4
    ),
    "12,000 imported messages": lambda: imported(12_000),
    "2,048 items": lambda: responses(input=user("a") * 2_048),
    "2,048 calls and outputs": lambda: responses(
        input=[*map(call, range(1_024)), *map(output, range(1_024))],
    ),
    "parts of a message": lambda: chat(messages=user([{"type": "text", "text": "a"}] * 8_000)),
    "calls of a message": lambda: chat(
        messages=[
            {"role": "assistant", "tool_calls": [{"id": f"{n}", "function": {"name": "f"}} for n in range(4_000)]}
        ]
    ),
    "128 tools, all called": lambda: chat(
        tools=[function(f"f{number}") for number in range(128)],
        messages=user(" ".join(f"f{number}" for number in range(128))),
    ),
    "1,024 tools of Anthropic": lambda: anthropic(
        tools=[{"name": f"f{number}", "input_schema": {"type": "object"}} for number in range(1_024)]
    ),
    "1,024 tools of Ollama, all called": lambda: ollama(
        tools=[function(f"f{number}") for number in range(1_024)],
        messages=user(" ".join(f"f{number}" for number in range(1_024))),
    ),
    "64 stop texts": lambda: anthropic(
        model="sim:tokens=200000,text=words,gap=0us",
        max_tokens=200_000,
        stop_sequences=[f"{number}zz" for number in range(64)],
    ),
    "80,000 stop texts": lambda: anthropic(stop_sequences=[f"{number}z" for number in range(80_000)]),
    "images": lambda: chat(messages=user([{"type": "image_url", "image_url": {"url": "data:,"}}] * 5_000)),
    "2,048 images of Ollama": lambda: ollama(messages=[{"role": "user", "content": "a", "images": ["aaaa"] * 2_048}]),
    "logit_bias": lambda: chat(logit_bias={str(number): 1 for number in range(16_000)}),
    "metadata": lambda: chat(metadata={str(number): "a" for number in range(16_000)}),
    "options": lambda: ollama(options={str(number): 1 for number in range(16_000)}),
    "2,048 inputs": lambda: embed(input=["a"] * 2_048, dimensions=256),
    "90,000 token ids": lambda: embed(input=list(range(90_000))),
    "32,000 values in a schema": lambda: in_tool(b"[" + b",".join([b"{}"] * 32_000) + b"]"),
    "340,000 values in a schema": lambda: in_tool(b"[" + b",".join([b"{}"] * 340_000) + b"]"),
    "99,000 numbers in a schema": lambda: in_tool(b"[" + b",".join([b"1.5"] * 99_000) + b"]"),
    "400,000 brackets": lambda: in_chat(b'"x":' + b"[" * 400_000 + b"]" * 400_000),
    "32,000 objects": lambda: in_chat(b'"x":[' + b",".join([b'{"a":1}'] * 32_000) + b"]"),
    "32,000 members, the last twice": lambda: in_chat(
        b",".join(b'"k%d":0' % (number % 31_999) for number in range(32_000))
    ),
    "80,000 members": lambda: in_chat(b",".join(b'"k%d":0' % number for number in range(80_000))),
}

HEADS: dict[str, Make] = {
    "X-Sim of letters": lambda: request("/stream-sse", X_Sim="a" * 15_000),
    "X-Sim of commas": lambda: request("/stream-sse?gap=0us", X_Sim="," * 15_000),
    "X-Sim of pairs": lambda: request("/stream-sse", X_Sim="seed=1," * 2_000),
    "X-Sim of a limit": lambda: request("/stream-sse", X_Sim="limit=rpm=1," + "rpm=1," * 2_000),
    "query of 4,000 names": lambda: request("/stream-sse?" + "a&" * 4_000),
    "query of percents": lambda: request("/stream-sse?" + "%41" * 2_600),
    "cookies": lambda: request("/health", Cookie="a=b; " * 3_000),
    "Authorization": lambda: request("/sim", Authorization="Bearer " + "a " * 7_000),
    "Accept-Encoding": lambda: request("/web", Accept_Encoding="gzip;q=0." + "0" * 15_000 + "x"),
    "If-None-Match": lambda: request("/web", If_None_Match='"a",' * 3_700),
    "X-Request-Id": lambda: request("/health", X_Request_Id="a" * 15_000),
    "Idempotency-Key": lambda: turn().replace(b"\r\n\r\n", b"\r\nIdempotency-Key: " + b"a" * 15_000 + b"\r\n\r\n", 1),
    "gate": lambda: request("/sim/gates/" + "a" * 8_000),
    "profile": lambda: request("/stream-sse?profile=" + "../" * 2_000),
}

CONTROLS: dict[str, Make] = {
    "PATCH /sim of pairs": lambda: sim("PATCH", "seed=1," * 140_000),
    "PUT /sim of commas": lambda: sim("PUT", "," * MOST),
    "PUT /sim of a limit": lambda: sim("PUT", "limit=rpm=1," + "rpm=1," * 160_000),
    "history": lambda: request("/history"),
    "conversations": lambda: request("/conversations"),
    "models": lambda: request("/v1/models"),
    "metrics": lambda: request("/metrics"),
    "history of the dashboard": lambda: request("/board/history?range=24h"),
    "defaults of the chat": lambda: request("/chat/defaults"),
    "context of a chat": lambda: post("/chat/context", b'{"system":"' + "\u00e9".encode() * (MOST // 2 - 20) + b'"}'),
}

JOURNALED: dict[str, Make] = {
    # With the journal on: each expression of its redaction.
    "backslashes": lambda: post("/v1/chat/completions", b"\\" * MOST),
    "escaped quotes": lambda: post("/v1/chat/completions", b'\\"' * (MOST // 2)),
    "names of secrets": lambda: post("/v1/chat/completions", b'"api_key":"' * (MOST // 11)),
    "name and spaces": lambda: post("/v1/chat/completions", b'"api_key"' + b" " * MOST),
    "a secret without end": lambda: post("/v1/chat/completions", b'"api_key":"' + b"\\\\" * (MOST // 2)),
    "beginnings of keys": lambda: post("/v1/chat/completions", b"sk-" * (MOST // 3)),
    "letters of keys": lambda: post("/v1/chat/completions", b"AIza" * (MOST // 4)),
    "1,500 cookies": lambda: post(
        "/v1/chat/completions",
        b"aaaaaaaa" * (MOST // 8),
        Cookie="; ".join(f"a=aaaaaaa{number:04}" for number in range(900)),
    ),
}
