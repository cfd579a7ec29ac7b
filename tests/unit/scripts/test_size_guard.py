from pathlib import Path

import pytest

from scripts.size_guard import MAX_FILE_LINES, MAX_FUNCTION_LINES, main


def function_of(lines: int, *, head: str = "def long():") -> str:
    return "\n".join([head, *["    pass"] * (lines - 1)]) + "\n"


def planted(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("suffix", ["py", "js", "css"])
def test_file_over_the_limit_is_named_with_its_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    path = planted(tmp_path, f"deep/down/long.{suffix}", "\n" * (MAX_FILE_LINES + 1))

    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"{path}:1: 501 lines in a file, at most 500\n"


@pytest.mark.parametrize("suffix", ["py", "js", "css"])
def test_file_at_the_limit_passes(tmp_path: Path, suffix: str) -> None:
    planted(tmp_path, f"full.{suffix}", "\n" * MAX_FILE_LINES)

    assert main([str(tmp_path)]) == 0


def test_other_files_have_no_limit(tmp_path: Path) -> None:
    planted(tmp_path, "small.py", "")
    planted(tmp_path, "words.txt", "\n" * (MAX_FILE_LINES + 1))

    assert main([str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("head", "name"), [("def long():", "long"), ("async def slow():", "slow")], ids=["plain", "async"]
)
def test_function_over_the_limit_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], head: str, name: str
) -> None:
    path = planted(tmp_path, "a.py", "x = 1\n" + function_of(MAX_FUNCTION_LINES + 1, head=head))

    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out == f"{path}:2: 61 lines in {name}(), at most 60\n"


def test_function_at_the_limit_passes(tmp_path: Path) -> None:
    planted(tmp_path, "a.py", function_of(MAX_FUNCTION_LINES))

    assert main([str(tmp_path)]) == 0


def test_method_and_a_function_inside_a_function_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "\n".join(["            pass"] * MAX_FUNCTION_LINES)
    planted(tmp_path, "a.py", f"class A:\n    def outer(self):\n        def inner():\n{body}\n")

    assert main([str(tmp_path)]) == 1
    assert [line.split(" in ")[1] for line in capsys.readouterr().out.splitlines()] == [
        "outer(), at most 60",
        "inner(), at most 60",
    ]


def test_every_violation_is_reported_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted(tmp_path, "a.py", function_of(MAX_FUNCTION_LINES + 1))
    planted(tmp_path, "b.js", "\n" * (MAX_FILE_LINES + 1))

    assert main([str(tmp_path)]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_guard_fails_if_it_finds_no_file(tmp_path: Path) -> None:
    assert main([str(tmp_path / "moved-away")]) == 2
    assert main([]) == 2
