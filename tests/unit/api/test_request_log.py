import json
from typing import Any

import pytest

from tokenfall.api.request_log import MAX_BODY_BYTES, MAX_REQUESTS, RequestLog

from tests.doubles.requests import request


def logged(**members: Any) -> dict[str, Any]:
    journal = RequestLog()
    journal.is_on = True
    journal.add(request(**members))
    (entry,) = journal.entries()
    return entry


def test_request_log_is_off_by_default() -> None:
    journal = RequestLog()
    journal.add(request("/a"))
    assert journal.entries() == []
    journal.is_on = True
    journal.add(request("/b"))
    journal.is_on = False
    journal.add(request("/c"))

    assert [each["path"] for each in journal.entries()] == ["/b"]
    journal.clear()
    assert journal.entries() == []


def test_request_is_logged_unchanged() -> None:
    entry = logged(target="/chat?a=1", method="POST", headers={"X-Sim": "gap=1s"}, body=b'{"x":"\xc3\xa9"}')

    assert {key: value for key, value in entry.items() if key != "time"} == {
        "id": "",
        "method": "POST",
        "path": "/chat",
        "query": "a=1",
        "headers": {"x-sim": "gap=1s"},
        "body": '{"x":"é"}',
        "truncated": False,
    }
    assert entry["time"] > 1_700_000_000


def test_log_keeps_the_newest_requests() -> None:
    journal = RequestLog()
    journal.is_on = True
    for number in range(MAX_REQUESTS + 3):
        journal.add(request(f"/{number}"))

    assert len(journal.entries()) == MAX_REQUESTS
    assert journal.entries()[0]["path"] == "/3"


@pytest.mark.parametrize(("size", "truncated"), [(MAX_BODY_BYTES, False), (MAX_BODY_BYTES + 1, True)])
def test_logged_body_is_truncated(size: int, truncated: bool) -> None:
    entry = logged(body=b"x" * size)

    assert (len(entry["body"]), entry["truncated"]) == (MAX_BODY_BYTES, truncated)


def test_logged_binary_body_is_encodable_as_json() -> None:
    assert json.dumps(logged(body=b"\xff\x00{")["body"])


def test_secrets_are_masked_anywhere_in_a_request() -> None:
    canaries = [f"canary-{number}-0123456789" for number in range(10)]
    bearer, key, cookie, other, proxied, google, token, query, shape, cut = canaries
    shape = "sk-" + shape
    body = json.dumps({"said": [bearer, key, cookie, other, proxied, google], "password": token, "note": shape})
    body += " " * (MAX_BODY_BYTES - len(body) - len(token) // 2) + token  # the size limit splits the key
    entry = logged(
        target=f"/v1/{bearer}?api_key={query}&also={key}&token={cut}",
        headers={
            "Authorization": f"Bearer {bearer}",
            "X-API-Key": key,
            "Cookie": f"a={cookie}; b={other}",
            "Proxy-Authorization": f"Basic {proxied}",
            "X-Goog-Api-Key": google,
            "X-Auth-Token": token,
            "X-Echo": f"{bearer} {key} {cookie} {other}",
            "X-Note": shape,
        },
        body=body.encode(),
    )
    text = json.dumps(entry)

    assert [canary for canary in canaries if canary in text] == []
    assert "canary" not in text
    assert entry["truncated"]


def test_other_fields_are_not_masked() -> None:
    entry = logged(target="/stream-sse?seed=7", headers={"Authorization": "Bearer abc"}, body=b'{"abc":"abc"}')

    assert (entry["query"], entry["body"]) == ("seed=7", '{"abc":"abc"}')  # the key is too short to be masked
    assert entry["headers"] == {"authorization": "[removed]"}
