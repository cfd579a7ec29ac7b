"""Secrets never appear in logs, metrics or the process list. (P3)"""

import asyncio
import json
from pathlib import Path

from tests.end_to_end.chatting import chat
from tests.end_to_end.client import Client, fetch, metric, request
from tests.end_to_end.conftest import Serve

CANARIES = [f"canary{number:02}" for number in range(12)]


async def test_secrets_are_not_in_logs_metrics_or_the_process_list(serve: Serve) -> None:
    api_key, wrong, prompt, query, header, name, system, bad, cookie, upstream, body, sim = CANARIES
    server = serve(
        API_KEY=api_key,
        LOG_LEVEL="debug",
        UPSTREAM_URL="http://127.0.0.1:9/v1",
        UPSTREAM_API_KEY=upstream,
        UPSTREAM_CONNECT_TIMEOUT="1s",
    )
    right = {"X_API_Key": api_key}
    requests = [
        chat(prompt, headers={"Authorization": f"Bearer {api_key}"}),
        chat(prompt, model=None, headers=right),  # relayed to an upstream that refuses connections
        chat(prompt, stream=False, headers=right),
        chat(prompt, headers={"X_API_Key": wrong}),
        chat(prompt, headers={"Authorization": f"Bearer {wrong}"}),
        chat(prompt, headers={**right, "Cookie": cookie, "Referer": f"http://x/?{query}", "X_Other": header}),
        chat(prompt, conversation=name, headers=right),
        chat("x", model=f"sim:{sim}=1", headers=right),
        chat("x", headers={**right, "X_Sim": f"{sim}=1"}),
        request(f"/stream-sse?gap={query}", **right),
        request(f"/nowhere?{query}", **right),
        request(f"/history?conversation={query}", **right),
        request(f"/history?{query}={query}", **right),
        request(f"http://user:{query}@host/history?{query}", **right),
        request("/chat", method="POST", body=body.encode(), **right),
        request(
            "/chat", method="POST", body=json.dumps({"messages": [{"role": "system", "content": system}]}).encode()
        ),
        request(f"/{'a' * 9_000}?{bad}", **right),
        f"{bad}\r\n\r\n".encode(),
        f"GET /?{bad} HTTP/1.1\r\nHost: a b\r\n\r\n".encode(),
        f"GET /health HTTP/1.1\r\nHost: test\r\n{bad} : x\r\n\r\n".encode(),
    ]
    for data in requests:
        await fetch(server.port, data)
    async with await Client.connect(server.port) as client:
        await client.send(chat(prompt, model="sim:gap=20ms", headers=right))
        await client.head()
        await client.chunk()
        client.reset()
    metrics = (await fetch(server.port, request("/metrics"))).body.decode()
    command = await asyncio.to_thread(Path(f"/proc/{server.process.pid}/cmdline").read_text, encoding="utf-8")
    server.signal()
    assert server.wait() == 0
    log = server.log()
    assert log.count('"logger":"access"') >= len(requests) - 4, "the access log lacks requests"
    written = log + metrics + command + server.remaining_stdout()
    assert [canary for canary in CANARIES if canary in written] == []


async def test_control_characters_cannot_begin_a_line_of_the_log(serve: Serve) -> None:
    server = serve()
    for path in ("/a%0d%0a%7b%22forged%22:1%7d", "/%1b[2J", "/%00", "/%e2%80%a8x", "/%22,%22forged%22:%22"):
        assert (await fetch(server.port, request(path))).status == 404
    server.signal()
    assert server.wait() == 0
    lines = server.log().rstrip("\n").split("\n")  # not splitlines, which also splits at U+2028
    documents = [json.loads(line) for line in lines]
    assert all("forged" not in document for document in documents)
    assert len([each for each in documents if each["logger"] == "access"]) == 5


async def test_access_log_has_one_line_per_response_with_all_fields(serve: Serve) -> None:
    server = serve()
    await fetch(server.port, request("/stream-sse?gap=0ms&tokens=2", X_Request_Id="first"))
    await fetch(server.port, request("/nowhere?x=1", X_Request_Id="second"))
    await fetch(server.port, b"nonsense\r\n\r\n")
    async with await Client.connect(server.port) as client:
        await client.send(request("/stream-loop?gap=20ms", X_Request_Id="third"))
        await client.head()
        client.reset()
    while await metric(server.port, "tokenfall_streams_in_flight"):
        pass
    server.signal()
    assert server.wait() == 0
    lines = [json.loads(line) for line in server.log().splitlines()]
    access = {line["request_id"]: line for line in lines if line["logger"] == "access"}
    assert access["first"].items() >= {"path": "/stream-sse", "status": 200, "outcome": "complete"}.items()
    assert access["second"].items() >= {"path": "/nowhere", "status": 404, "level": "info"}.items()
    assert access["third"].items() >= {"path": "/stream-loop", "outcome": "left", "client": "127.0.0.1"}.items()
    assert [line["status"] for line in access.values() if line["method"] == "-"] == [400]
