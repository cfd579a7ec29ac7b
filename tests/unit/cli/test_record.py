from pathlib import Path

import pytest

from tokenfall.cli.main import main

GOOD = {"--upstream": "http://127.0.0.1:1/v1", "--out": "r.jsonl"}


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("A_KEY", "secret-of-the-provider")
    monkeypatch.delenv("NO_KEY", raising=False)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"--upstream": "api.groq.com"}, "--upstream: takes a base address"),
        ({"--upstream": "https://key@api.groq.com/v1"}, "--upstream: takes a base address"),
        ({"--upstream": "https://api.groq.com/v1?key=x"}, "--upstream: takes a base address"),
        ({"--upstream": "http://a..example/v1"}, "--upstream: takes a base address"),
        ({"--out": "r.txt"}, "ends in .jsonl"),
        ({"--key-env": "NO_KEY"}, "NO_KEY is not set"),
        ({"--key-env": "A_KEY", "--host": "0.0.0.0"}, "uses your key"),
    ],
)
def test_invalid_argument_prints_one_line(wrong: dict[str, str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for pair in {**GOOD, **wrong}.items() for word in pair]

    assert main(["record", *words]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("tokenfall: --")
    assert what in errors
    assert errors.count("\n") == 1
    assert "secret" not in errors


@pytest.mark.parametrize("words", [(), ("--upstream", "http://127.0.0.1/"), ("--port", "x")])
def test_missing_argument_prints_one_line(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["record", *words])

    assert caught.value.code == 2
    output = capsys.readouterr().err
    assert output.startswith("tokenfall: ")
    assert (output.count("\n"), "see tokenfall record --help" in output) == (1, True)


def test_port_must_be_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["record", "--upstream", "http://127.0.0.1/", "--out", "r.jsonl", "--port", "70000"])

    assert "got '70000', takes an integer from 0 to 65535" in capsys.readouterr().err


def test_unwritable_file_prints_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record", "--upstream", "http://127.0.0.1/", "--out", "missing/r.jsonl"]) == 1
    assert capsys.readouterr().err == "tokenfall: --out: cannot write missing/r.jsonl: No such file or directory\n"
