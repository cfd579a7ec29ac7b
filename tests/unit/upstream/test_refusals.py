import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.errors import (
    UpstreamBroken,
    UpstreamError,
    UpstreamFailed,
    UpstreamKeyRefused,
    UpstreamMalformed,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamStreamError,
)
from tokenfall.upstream import refusals
from tokenfall.upstream.refusals import (
    MAX_ERROR_BODY_BYTES,
    MAX_RETRY_AFTER_S,
    encoding_error,
    error_document,
    is_event_stream,
    no_stream,
    refusal,
    retry_after_s,
)

BODY = b'{"error":{"message":"their own words"}}'


@pytest.mark.parametrize(
    ("statuses", "kind", "shows_message", "wait_s"),
    [
        ((401, 403), UpstreamKeyRefused, False, None),
        ((429,), UpstreamRateLimited, False, 7.0),
        ((400, 404, 413, 422), UpstreamRefused, True, None),
        ((500, 501, 503, 529), UpstreamFailed, False, 7.0),
        ((402, 408, 409, 418), UpstreamError, True, None),
        ((302,), UpstreamError, False, None),
    ],
)
def test_error_depends_on_the_status(
    statuses: tuple[int, ...], kind: type[UpstreamError], shows_message: bool, wait_s: float | None
) -> None:
    for status in statuses:
        error = refusal(status, BODY, retry_after="7")

        assert (type(error), error.retry_after_s) == (kind, wait_s)
        assert (str(status) in error.message) is (kind in {UpstreamFailed, UpstreamError})
        assert ("their own words" in error.message) is shows_message


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"error":null}'])
def test_refusal_without_a_message_has_its_status(body: bytes) -> None:
    assert refusal(422, body, retry_after=None).message == "the upstream refused the request: 422"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("0", 0.0),
        ("100000000", MAX_RETRY_AFTER_S),
        ("9" * 400, MAX_RETRY_AFTER_S),
        ("-1", None),
        ("1e3", None),
        ("٣", None),
        (".", None),
        ("soon", None),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:12:20 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER_S),
        ("Mon, 32 Jan 2020 00:00:00 GMT", None),
        ("Mon, 01 Jan 99999 00:00:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +9999999999999999", None),
    ],
)
def test_retry_after_accepts_seconds_and_dates(
    text: str | None, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "time", lambda: 1_700_000_000.0)

    assert retry_after_s(text) == seconds


@given(st.one_of(st.text(), st.text(st.sampled_from("0123456789:,+-. MonJanGMT"))))
def test_invalid_retry_after_is_ignored(text: str) -> None:
    seconds = retry_after_s(text)

    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER_S


@pytest.mark.parametrize(
    ("content_type", "streams"),
    [
        (None, True),
        ("text/event-stream", True),
        ("Text/Event-Stream ; charset=utf-8", True),
        ("text/event-streams", False),
        ("text/html; charset=utf-8", False),
        ("application/json", False),
        ("text/plain", False),
        ("", False),
    ],
)
def test_event_stream_is_recognized_by_content_type(content_type: str | None, streams: bool) -> None:
    assert is_event_stream(content_type) is streams


@pytest.mark.parametrize(
    ("content_encoding", "encoded"), [(None, False), ("", False), (" Identity", False), ("gzip", True), ("br", True)]
)
def test_compressed_body_is_recognized_by_content_encoding(content_encoding: str | None, encoded: bool) -> None:
    assert (encoding_error(content_encoding) is not None) is encoded


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (BODY, UpstreamStreamError, "the upstream's stream failed: their own words"),
        (b'{"choices":[]}', UpstreamMalformed, "the upstream did not respond with a stream"),
        (b"<html>secret", UpstreamMalformed, "the upstream did not respond with a stream"),
        (b"", UpstreamMalformed, "the upstream did not respond with a stream"),
    ],
)
def test_200_that_is_not_a_stream_is_an_error(body: bytes, kind: type[UpstreamBroken], message: str) -> None:
    error = no_stream(body)

    assert (type(error), error.message) == (kind, message)


@pytest.mark.parametrize(
    "body",
    [
        b'{"object":"chat.completion","choices":[]}',
        b' \n\n{"data":[]}',
        b"[]",
        b'{"object":"response","status":"failed","error":{"message":"their own words"}}',
        b'{"object":"chat.completion","choices":[{"error":null}],"error":null}',
        b'{"error":null,"id":"x"}',
        b'{"error":{"message":"' + b"x" * MAX_ERROR_BODY_BYTES + b'"}}',
    ],
)
def test_complete_response_is_not_an_error(body: bytes) -> None:
    assert error_document(body) is None


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"data: {}\n\n", b'"a"', b"{", b"{x}"])
def test_complete_200_that_is_not_json_is_malformed(body: bytes) -> None:
    assert isinstance(error_document(body), UpstreamMalformed)


@pytest.mark.parametrize(
    "body",
    [
        BODY,
        b'{"object":"error","message":"their own words"}',
        b'{"detail":"their own words"}',
        b"[" + BODY + b"]",
        b'{"object":"chat.completion","choices":[],"error":{"message":"their own words"}}',
        b'{"object":"chat.completion","choices":[{"message":{},"error":{"message":"their own words"}}]}',
    ],
)
def test_complete_200_that_reports_an_error_is_an_error(body: bytes) -> None:
    error = error_document(body)

    assert isinstance(error, UpstreamStreamError)
    assert error.message == "the upstream's stream failed: their own words"
