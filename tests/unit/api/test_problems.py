import json
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


def problem(incoming: Request, error: Exception) -> Response:
    return problems.problem(incoming, problems.of_error(incoming, error))


def refused(incoming: Request, status: int, *, detail: str) -> Response:
    return problems.problem(incoming, problems.of_status(incoming, status, detail=detail))


@pytest.mark.parametrize("error", error_classes())
def test_every_error_has_the_status_of_its_code(error: type[TokenfallError]) -> None:
    incoming = request()
    incoming.id = "r-1"
    response = problem(incoming, error("why"))

    assert response.status == problems.STATUS_OF_CODE[error.code]
    assert json.loads(response.body) == {
        "type": "about:blank",
        "title": phrase(response.status),
        "status": response.status,
        "detail": "why",
        "code": error.code,
        "request_id": "r-1",
    }
    assert lines_of(response.head)[1:3] == ["content-type: application/problem+json", "cache-control: no-store"]


@pytest.mark.parametrize(("wait_s", "value"), [(0.0, "1"), (0.01, "1"), (1.0, "1"), (1.01, "2"), (86_400.0, "86400")])
def test_retry_after_is_in_whole_seconds(wait_s: float, value: str) -> None:
    head = problem(request(), RateLimited("why", retry_after_s=wait_s)).head

    assert f"retry-after: {value}" in lines_of(head)


@pytest.mark.parametrize(
    ("response", "headers"),
    [
        (problem(request(), InvalidRequest("why")), []),
        (problem(request(), UpstreamFailed("why")), []),
        (problem(request(), Unauthorized("why")), ["www-authenticate: Bearer"]),
        (problem(request(), UpstreamKeyRefused("why")), ["x-should-retry: false"]),
        (refused(request(), 400, detail="bad"), []),
        (refused(request(), 503, detail="full"), ["retry-after: 1"]),
    ],
)
def test_error_has_only_the_additional_headers_of_its_kind(response: Response, headers: list[str]) -> None:
    common = ("HTTP/", "content-type: ", "cache-control: ", "content-length: ")

    assert [line for line in lines_of(response.head) if not line.startswith(common)] == headers


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


def test_unexpected_error_in_a_stream_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    error = RuntimeError("a secret")
    frame = problems.error_event(error)

    assert frame == (
        b'event: error\ndata: {"error":{"code":"internal_error","message":"' + problems.INTERNAL.encode() + b'"}}\n\n'
    )
    problems.error_event(InvalidRequest("why"))
    (record,) = caplog.records
    assert (record.levelname, record.name) == ("ERROR", "tokenfall.api.problems")
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert "secret" not in record.getMessage()


def test_message_with_line_breaks_stays_in_one_event() -> None:
    frame = problems.error_event(InvalidRequest("a\r\n\n\u2028data: b"))

    assert frame.count(b"\n") == 3
    assert json.loads(frame.split(b"\n")[1].removeprefix(b"data: "))["error"]["message"] == "a\r\n\n\u2028data: b"
