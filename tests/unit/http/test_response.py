import pytest

from tokenfall.http.response import EncodedFrames, Response, StreamHead


def test_every_kind_of_response_refuses_an_invalid_header() -> None:
    with pytest.raises(ValueError, match="line break"):
        Response(200, headers=(("a", "b\r\nc: d"),))
    with pytest.raises(ValueError, match="line break"):
        StreamHead("text/plain\r\nc: d")


def test_response_has_a_content_length() -> None:
    response = Response(404, b"gone", content_type="text/plain", headers=(("a", "b"),))

    assert response.head == (b"HTTP/1.1 404 Not Found\r\ncontent-type: text/plain\r\na: b\r\ncontent-length: 4\r\n")
    assert response.body == b"gone"


def test_empty_response_has_content_length_zero() -> None:
    assert Response(200).head == b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n"


@pytest.mark.parametrize("status", [204, 304])
def test_response_without_body_has_no_content_length(status: int) -> None:
    assert b"content-length" not in Response(status).head


def test_stream_is_neither_cached_nor_buffered() -> None:
    assert StreamHead("text/event-stream").lines == (
        b"HTTP/1.1 200 OK\r\n"
        b"content-type: text/event-stream\r\n"
        b"cache-control: no-cache, no-transform\r\n"
        b"x-accel-buffering: no\r\n"
    )


def test_frames_are_available_with_and_without_chunked_coding() -> None:
    frames = EncodedFrames(iter([b"a", b"bc"]))

    assert frames.coded(chunked=False) == (b"a", b"bc")
    assert frames.coded(chunked=True) == (b"1\r\na\r\n", b"2\r\nbc\r\n")
