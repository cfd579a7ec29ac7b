import json
import logging
import re
from pathlib import Path

import pytest

from tokenfall import http
from tokenfall.api import problems
from tokenfall.errors import (
    InvalidRequest,
    RateLimited,
    TokenfallError,
    Unauthorized,
    UpstreamFailed,
    UpstreamKeyRefused,
    UpstreamRateLimited,
    UpstreamRefused,
)
from tokenfall.http.encoding import phrase
from tokenfall.http.request import Request
from tokenfall.http.response import Response

from tests.doubles.requests import lines_of, request
from tests.unit.test_errors import error_classes

STATUSES = {
    "TokenfallError": 500,
    "InvalidRequest": 400,
    "Unauthorized": 401,
    "OriginNotAllowed": 403,
    "ConversationChanged": 409,
    "ConversationTooLong": 413,
    "NotFound": 404,
    "StoreUnavailable": 503,
    "TurnStopped": 409,
    "TurnInterrupted": 409,
    "DetachedLimit": 409,
    "TurnLost": 503,
    "ResumeExpired": 410,
    "IdempotencyMismatch": 422,
    "IdempotencyUnavailable": 400,
    "RateLimited": 429,
    "ResponseMemoryFull": 503,
    "UnsupportedCoding": 415,
    "RequestMemoryFull": 503,
    "ShuttingDown": 503,
    "SimulatedFailure": 500,
    "UpstreamError": 502,
    "UpstreamUnreachable": 502,
    "UpstreamFailed": 502,
    "UpstreamTimeout": 504,
    "UpstreamConnectTimeout": 504,
    "UpstreamFirstTokenTimeout": 504,
    "UpstreamNextTokenTimeout": 504,
    "UpstreamTotalTimeout": 504,
    "UpstreamKeyRefused": 502,
    "UpstreamUntrusted": 502,
    "UpstreamRateLimited": 503,
    "UpstreamRefused": 400,
    "UpstreamBroken": 502,
    "UpstreamReset": 502,
    "UpstreamTruncated": 502,
    "UpstreamMalformed": 502,
    "UpstreamStreamError": 502,
}


def problem(incoming: Request, error: Exception) -> Response:
    return problems.problem(incoming, problems.of_error(incoming, error))


def refused(incoming: Request, status: int, *, detail: str) -> Response:
    return problems.problem(incoming, problems.of_status(incoming, status, detail=detail))


@pytest.mark.parametrize("error", error_classes())
def test_every_error_has_its_status(error: type[TokenfallError]) -> None:
    response = problem(request(), error("why"))

    assert response.status == STATUSES[error.__name__]
    assert json.loads(response.body) == {
        "type": "about:blank",
        "title": phrase(response.status),
        "status": response.status,
        "detail": "why",
        "code": error.code,
    }


def test_problem_response_has_status_content_type_and_no_store() -> None:
    assert lines_of(problem(request(), InvalidRequest("why")).head)[:3] == [
        "HTTP/1.1 400 Bad Request",
        "content-type: application/problem+json",
        "cache-control: no-store",
    ]


def test_problem_has_the_request_id() -> None:
    incoming = request()
    incoming.id = "r-1"

    assert json.loads(problem(incoming, InvalidRequest("why")).body)["request_id"] == "r-1"


@pytest.mark.parametrize(("wait_s", "value"), [(0.0, "1"), (0.01, "1"), (1.0, "1"), (1.01, "2"), (86_400.0, "86400")])
def test_retry_after_is_in_whole_seconds(wait_s: float, value: str) -> None:
    head = problem(request(), RateLimited("why", retry_after_s=wait_s)).head

    assert f"retry-after: {value}" in lines_of(head)


def test_retry_after_is_omitted_if_unknown() -> None:
    assert b"retry-after" not in problem(request(), InvalidRequest("why")).head


def test_missing_key_response_has_www_authenticate() -> None:
    assert "www-authenticate: Bearer" in lines_of(problem(request(), Unauthorized("why")).head)


def test_clients_do_not_repeat_a_request_whose_upstream_key_is_refused() -> None:
    assert "x-should-retry: false" in lines_of(problem(request(), UpstreamKeyRefused("why")).head)
    assert b"x-should-retry" not in problem(request(), UpstreamFailed("why")).head


def test_problem_detail_is_json_text_for_any_message() -> None:
    detail = '"\r\n\0</script>é'

    assert json.loads(problem(request(), InvalidRequest(detail)).body)["detail"] == detail


def refused_statuses() -> set[int]:
    """Statuses of refusals in the source of the HTTP server; each must have an error code."""
    sources = Path(str(http.__file__)).parent.glob("*.py")
    return {
        int(status)
        for source in sources
        for status in re.findall(r"(?:Refusal\(|refuse\(request, )(\d{3})", source.read_text(encoding="utf-8"))
    }


def test_every_http_server_refusal_has_an_error_code() -> None:
    assert {400, 408, 413, 414, 417, 431, 501, 503, 505} <= refused_statuses()
    for status in refused_statuses():
        response = refused(request(), status, detail="why")
        assert response.status == status
        assert json.loads(response.body)["code"] == problems.CODE_OF_STATUS[status]


def test_refusal_codes_differ_from_error_codes() -> None:
    assert set(problems.CODE_OF_STATUS.values()) & set(problems.STATUS_OF_CODE) == set()


def test_full_server_sends_retry_after() -> None:
    assert "retry-after: 1" in lines_of(refused(request(), 503, detail="full").head)
    assert b"retry-after" not in refused(request(), 400, detail="bad").head


def test_problem_has_the_invalid_parameter() -> None:
    assert json.loads(problem(request(), InvalidRequest("why", param="messages")).body)["param"] == "messages"
    assert "param" not in json.loads(problem(request(), InvalidRequest("why")).body)


def test_unexpected_error_text_is_not_shown() -> None:
    response = problem(request(), RuntimeError("a secret"))

    assert response.status == 500
    assert json.loads(response.body)["detail"] == problems.INTERNAL
    assert b"secret" not in response.body


def test_provider_status_is_used_only_in_its_dialect() -> None:
    error = UpstreamRefused("why", status=413)

    assert problems.of_error(request(), error).status == 400
    assert problems.of_error(request(), error, as_provider=True).status == 413
    assert problems.of_error(request(), InvalidRequest("why"), as_provider=True).status == 400


# Error events of streams


@pytest.mark.parametrize("error", error_classes())
def test_error_event_has_the_fields_of_a_problem_document(error: type[TokenfallError]) -> None:
    frame = problems.error_event(error("why"))

    data = frame.removeprefix(b"event: error\ndata: ").removesuffix(b"\n\n")
    assert frame == b"event: error\ndata: %b\n\n" % data
    assert json.loads(data) == {"error": {"code": error.code, "message": "why"}}


def test_error_event_has_retry_after() -> None:
    frame = problems.error_event(UpstreamRateLimited("why", retry_after_s=1.2))

    assert b'"code":"upstream_rate_limited","message":"why","retry_after":2}' in frame


def test_expected_errors_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        problems.error_event(InvalidRequest("why"))

    assert caplog.records == []


def test_unexpected_error_in_a_stream_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    error = RuntimeError("a secret")
    frame = problems.error_event(error)

    assert frame == (
        b'event: error\ndata: {"error":{"code":"internal_error","message":"' + problems.INTERNAL.encode() + b'"}}\n\n'
    )
    (record,) = caplog.records
    assert (record.levelname, record.name) == ("ERROR", "tokenfall.api.problems")
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert "secret" not in record.getMessage()


def test_message_with_line_breaks_stays_in_one_event() -> None:
    frame = problems.error_event(InvalidRequest("a\r\n\n\u2028data: b"))

    assert frame.count(b"\n") == 3
    assert json.loads(frame.split(b"\n")[1].removeprefix(b"data: "))["error"]["message"] == "a\r\n\n\u2028data: b"
