from pathlib import Path

import pytest

from tokenfall.cli.main import main
from tokenfall.recording.recordings import RecordedChunk, RecordedExchange, RecordedRequest, RecordedResponse
from tokenfall.simulator import profiles

TOKEN = 'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "r.jsonl"
    chunks = (RecordedChunk(0.3, TOKEN), RecordedChunk(0.32, TOKEN), RecordedChunk(0.36, TOKEN))
    response = RecordedResponse(status=200, headers={"content-type": "text/event-stream"}, streamed=True, chunks=chunks)
    file.write_bytes(
        RecordedExchange(time="", request=RecordedRequest(method="POST", path="/", headers={}), answer=response).line()
    )
    return file


def test_fit_prints_the_table_and_writes_the_profile(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "p.json"

    assert main(["fit", str(recording), "--out", str(out)]) == 0

    head, ttft, gap, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["ms", "n", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99"]
    assert ttft.split() == ["ttft", "1", *["300.0"] * 9]
    assert gap.split() == ["gap", "2", "20.2", "21.0", "22.0", "25.0", "30.0", "35.0", "38.0", "39.0", "39.8"]
    assert last == f"written; use it as profile={out}"
    assert profiles.read(str(out)).gap.count == 2


def test_fit_without_out_writes_nothing(recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(recording)]) == 0
    assert [each.name for each in tmp_path.iterdir()] == ["r.jsonl"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "r.jsonl: No such file or directory"),
        (b"", "cannot be fitted: it has no stream with status 200"),
        (b"{}\n", "r.jsonl: line 1: "),
    ],
)
def test_invalid_recording_prints_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, what: str
) -> None:
    file = tmp_path / "r.jsonl"
    if content is not None:
        file.write_bytes(content)

    assert main(["fit", str(file)]) == 1
    output = capsys.readouterr()
    assert output.err.startswith("tokenfall: ")
    assert what in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""


def test_profile_file_must_end_in_json(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(recording), "--out", "p.txt"]) == 2
    assert "ends in .json" in capsys.readouterr().err
