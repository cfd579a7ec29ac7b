import json
from typing import Any

import pytest

from tokenfall.wire.upstream.errors import document_error, error_body_message, error_body_param, error_message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":{"message":"no such model","code":"x"}}', "no such model"),
        (b'{"error":"no such model"}', "no such model"),
        (b'{"error":true,"message":"no such model"}', "no such model"),
        (b'{"error":{"error":{"message":"no such model"}}}', "no such model"),
        (b'{"error":{"code":404,"message":null}}', "404"),
        (b'{"error":{"message":7}}', "7"),
        (b'{"message":"no such model"}', "no such model"),
        (b'{"message":"no such model","code":"x"}', "no such model"),
        (b'{"error_message":"no such model"}', "no such model"),
        (b'{"object":"error","message":"no such model","code":404}', "no such model"),
        (b'{"type":"error","message":"no such model"}', "no such model"),
        (b'{"detail":"no such model"}', "no such model"),
        (b'{"detail":["too long","too deep"]}', "too long; too deep"),
        (b'{"detail":[{"loc":["body","tools",0],"msg":"too long"}]}', "body.tools.0: too long"),
        (b'{"detail":[{"loc":[],"msg":"too long"},{"loc":"body","msg":"too deep"}]}', "too long; too deep"),
        (b'{"detail":{"error":"no such model"}}', "no such model"),
        (b'[{"error":{"code":400,"message":"a role"}},{"error":"a part"}]', "a role; a part"),
        (b'"no such model"', "no such model"),
        (b'{"error":{"metadata":{"raw":"no such model"},"code":500}}', "no such model"),
        (b'{"errors":[{"message":"no such model"}],"success":false}', "no such model"),
        (b'{"errors":["no such model"]}', "no such model"),
        (b'{"success":false,"error":{"issues":[{"message":"no such model"}]}}', "no such model"),
        (b'{"base_resp":{"status_code":1004,"status_msg":"no such model"},"choices":null}', "no such model"),
        (b'{"base_resp":{"status_code":0,"status_msg":"no such model"}}', "no such model"),
        (b'{"status":"error","message":"no such model"}', "no such model"),
        (b'{"msg":"no such model","code":400}', "no such model"),
        (b'{"Message":"no such model"}', "no such model"),
        (b'{"message":{"text":"no such model"}}', "no such model"),
        (b'{"fault":{"faultstring":"no such model"}}', "no such model"),
        (b'{"error_msg":"no such model"}', "no such model"),
        (b"404 page not found\n", "404 page not found"),
        (b'{"error":{"message":"half \\ud83d"}}', "half \ufffd"),
        (b'\xef\xbb\xbf{"error":"no such model"}', "no such model"),
        (b"", ""),
        (b"<html>", ""),
        (b"\xff", ""),
        (b'"\xff"', ""),
        (b"a\0b", ""),
        (b"[]", ""),
        (b"[1]", ""),
        (b"[" * 100_000, ""),
        (b"7", ""),
        (b'{"error":{"message":"%b"}}' % (b"x" * 400), "x" * 300),
        (b'{"detail":["%b","y"]}' % (b"x" * 300), "x" * 300),
        (b'{"error":' * 20 + b'"x"' + b"}" * 20, ""),
        (b'{"error":' + b"[" * 20 + b'"x"' + b"]" * 20 + b"}", ""),
        (b"x" * 400, "x" * 300),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_message_is_read_from_every_error_body(body: bytes, message: str) -> None:
    assert error_body_message(body) == message


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"detail":[]}',
        b'{"error":null}',
        b'{"error":{"message":[]}}',
        b'{"error":{"message":true}}',
        b'{"choices":[{}],"message":"x"}',
        b'{"error":false}',
        b'{"error":""}',
        b'{"error":0}',
        b'{"error":[]}',
    ],
)
def test_error_body_without_a_message_gives_an_empty_one(body: bytes) -> None:
    assert error_body_message(body) == ""


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"error": {}}, ""),
        ({"error": {"type": "overloaded_error"}}, "overloaded_error"),
        ({"error": 503}, "503"),
        ({"message": "busy", "code": 0}, None),
        ({"message": "busy", "code": 1305}, "busy"),
        ({"message": "busy"}, None),
        ({"object": "chat.completion.chunk", "detail": "x"}, None),
        ({"choices": [{}], "message": "x", "code": 1}, None),
        ({"choices": [{}], "error": "x"}, "x"),
        ({"choices": [{}], "object": "chat.completion.chunk", "x_groq": {"id": "r", "error": "x"}}, "x"),
        ({"choices": [{}], "x_groq": {"id": "r", "error": None}}, None),
        ({"choices": [{}], "base_resp": {"status_code": 0, "status_msg": ""}}, None),
        ({"success": False}, ""),
        ({"success": True, "errors": []}, None),
        ({"status": "ok", "message": "x"}, None),
        ({"status": 429, "message": "busy"}, "busy"),
        ({"status": 200, "message": "x"}, None),
        ({"statusCode": 500, "message": "busy", "error": None}, "busy"),
        ({"status_code": "503", "message": "busy"}, "busy"),
        ({"type": "about:blank", "title": "Bad Gateway", "status": 502, "detail": "busy"}, "busy"),
        ({"code": "50001", "msg": "busy"}, "busy"),
        ({"code": 200, "msg": "ok"}, None),
        ({"code": "0", "message": "ok"}, None),
        ({"msg": "busy"}, None),
        ({"fault": {"faultstring": "busy"}}, "busy"),
        ({"Error": {"Code": "Throttling", "Message": "busy"}}, "busy"),
        ({"exception": "RuntimeError", "message": "busy"}, "busy"),
        ({"error_code": 336003, "error_msg": "busy"}, "busy"),
        ({"error_code": 50001, "text": "busy"}, "busy"),
        ({"error_code": 0, "text": "fine"}, None),
        ({"choices": [{}], "error_code": 1}, None),
        ({"usage": {"prompt_tokens": 1}, "status": "done"}, None),
        ([{"a": 1}], None),
        ("error", None),
        (None, None),
    ],
)
def test_error_document_is_recognized(document: Any, words: str | None) -> None:
    assert document_error(document) == words


def test_more_than_eight_reasons_are_truncated() -> None:
    assert error_message([str(number) for number in range(100)]) == "0; 1; 2; 3; 4; 5; 6; 7"
    assert document_error([{"error": str(number)} for number in range(100)]) == "0; 1; 2; 3; 4; 5; 6; 7"


def test_loc_steps_of_other_types_are_skipped() -> None:
    assert error_message({"loc": ["body", {}, 1], "msg": "x"}) == "body.1: x"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"error":{"message":"x","param":"messages[0]"}}', "messages[0]"),
        (b'[{"error":{"message":"x","param":"messages[0]"}}]', "messages[0]"),
        (b'{"error":{"param":"%b"}}' % (b"x" * 200), "x" * 100),
        (b'{"error":{"param":null}}', None),
        (b'{"error":{"param":7}}', None),
        (b'{"error":"param"}', None),
        (b'{"param":"x"}', None),
        (b"[]", None),
        (b"", None),
        (b'"\xff"', None),
        (b"[" * 100_000, None),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_param_is_read_from_the_error_body(body: bytes, param: str | None) -> None:
    assert error_body_param(body) == param


def test_error_body_of_many_items_takes_linear_time() -> None:
    many = json.dumps([{"error": {"message": "x" * 10}}] * 5_000).encode()

    assert error_body_message(many) == "; ".join(["x" * 10] * 8)
