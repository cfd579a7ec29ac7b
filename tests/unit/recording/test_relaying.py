import pytest

from tokenfall.memory.leases import RequestMemory
from tokenfall.metrics.registry import Metrics
from tokenfall.recording.redaction import Redactor
from tokenfall.recording.relaying import ResponseCapture

from tests.doubles.memory import ample_request_memory


def test_secret_split_between_reads_is_masked_and_chunks_keep_their_sizes() -> None:
    capture = ResponseCapture(Redactor(["secret-of-ours"]), ample_request_memory().lease("here"))
    capture.status, capture.streamed = 200, True
    for at_s, piece in ((0.5, b"a sec"), (1.0, b"ret-of"), (1.0, b"-ours b")):
        capture.add(at_s, piece)
    response = capture.response()

    assert response is not None
    assert [(each.at_s, each.data) for each in response.chunks] == [(0.5, "a ***"), (1.0, "******"), (1.0, "***** b")]


def test_response_is_recorded_up_to_the_size_limit_and_the_share_of_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tokenfall.recording.relaying.MAX_RECORDED_BYTES", 200_000)
    for memory in (ample_request_memory(), RequestMemory(2 * 200_000, Metrics())):
        capture = ResponseCapture(Redactor(), memory.lease("here"))
        capture.status = 200
        for piece in (b"x" * 150_000, b"y" * 150_000, b"z"):
            capture.add(1.0, piece)
        response = capture.response()

        assert capture.full
        assert response is not None
        assert [len(each.data) for each in response.chunks] == [150_000]
