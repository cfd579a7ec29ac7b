import sys
from pathlib import Path

import pytest

from tokenfall.cli import supervisor
from tokenfall.cli.environment import MIN_LETTERS, env_file, misspelled_settings
from tokenfall.cli.main import USAGE_ERROR, main
from tokenfall.settings import InvalidSetting
from tokenfall.settings.fields import SETTINGS


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PORT", raising=False)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (b"A=1\n\nGROQ_API_KEY: gsk_secret\n", ".env, line 3: takes NAME=value, a comment or an empty line"),
        (b"# note\nPORT\n", ".env, line 2: takes NAME=value, a comment or an empty line"),
        (b"A=1\nPORT 8080\n", ".env, line 2: takes NAME=value, a comment or an empty line"),
        (b"A=1\nMODEL='no end\n", ".env, line 2: takes NAME=value, a comment or an empty line"),
        (b"A=1\nB=\xe9\n", ".env, line 2: is not UTF-8; takes a file in UTF-8"),
        ("PORT=1\n".encode("utf-16"), ".env, line 1: is not UTF-8 but UTF-16; takes a file in UTF-8"),
    ],
)
def test_invalid_env_file_stops_the_start_and_names_the_line(
    written: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(".env").write_bytes(written)

    assert main(["serve"]) == USAGE_ERROR
    assert capsys.readouterr().err == f"tokenfall: {message}\n"
    assert main(["record", "--upstream", "http://localhost", "--out", "x.jsonl"]) == USAGE_ERROR


def test_unreadable_env_file_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_bytes(b"PORT=1\n")

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)
    with pytest.raises(InvalidSetting, match=r"^\.env: cannot be read: Permission denied$"):
        env_file()


def test_env_file_that_no_library_can_read_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_bytes(b"PORT=1\n")
    monkeypatch.setitem(sys.modules, "dotenv", None)

    with pytest.raises(
        InvalidSetting,
        match=r"^\.env: cannot be read without python-dotenv; set environment variables; the full container image",
    ):
        env_file()


def test_env_file_may_have_a_byte_order_mark_and_shell_syntax() -> None:
    Path(".env").write_bytes(b"\xef\xbb\xbfPORT=1\r\nexport MODEL=\"a\\nb\" # note\r\n\r\nSYSTEM_PROMPT=\r\nA='1\n2'\n")

    assert env_file() == {"PORT": "1", "MODEL": "a\nb", "SYSTEM_PROMPT": "", "A": "1\n2"}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("API_KEYS", "API_KEY"),
        ("PROT", "PORT"),
        ("GROQ_APIKEY", "GROQ_API_KEY"),
        ("UPSTRAEM_URL", "UPSTREAM_URL"),
        ("MAX_TOKEN", "MAX_TOKENS"),
        ("MAX_TOKENZ", "MAX_TOKENS"),
        ("TOKENFALL_PORT", "PORT"),
    ],
)
def test_near_miss_is_reported_with_the_setting(name: str, meant: str) -> None:
    assert misspelled_settings([name], least=MIN_LETTERS) == [(name, meant)]


def test_names_of_other_programs_are_ignored_in_the_environment() -> None:
    names = "PATH HOME HOSTNAME MODE POST HOSTS OPENAI_BASE_URL TOKENFALL_ARTIFACTS LOGNAME"

    assert misspelled_settings([*names.split(), ""], least=MIN_LETTERS) == []
    assert misspelled_settings([field.upper() for field in SETTINGS], least=0) == []


@pytest.mark.parametrize(("name", "meant"), [("MODE", "MODEL"), ("HOSTS", "HOST"), ("OPENAI_BASE_URL", "UPSTREAM_URL")])
def test_short_names_and_those_of_client_libraries_are_reported_in_an_env_file(name: str, meant: str) -> None:
    assert misspelled_settings([name], least=0) == [(name, meant)]


def test_env_file_that_links_nowhere_stops_the_start() -> None:
    Path(".env").symlink_to("missing")

    with pytest.raises(InvalidSetting, match=r"^\.env: cannot be read: No such file or directory$"):
        env_file()


@pytest.mark.parametrize(
    ("environment", "file", "unused"),
    [
        ({"UPSTREAM_API_KEY": "secret"}, "", ["UPSTREAM_API_KEY"]),
        ({}, "OPENAI_API_KEY=secret\n", ["OPENAI_API_KEY"]),
        ({"OPENAI_API_KEY": "secret"}, "", []),
        ({}, "OPENAI_API_KEY=secret\nUPSTREAM_URL=http://127.0.0.1:1/v1\n", []),
    ],
)
def test_start_warns_of_a_key_without_an_upstream(
    environment: dict[str, str],
    file: str,
    unused: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(supervisor, "supervise", lambda *_: 0)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    Path(".env").write_text(file, encoding="utf-8")

    assert main(["serve", "--workers", "2", "--history-url", "sqlite:///chat.db"]) == 0
    assert capsys.readouterr().err == "".join(
        f"tokenfall: {name} has no effect without UPSTREAM_URL; the simulator responds\n" for name in unused
    )


def test_start_warns_of_near_misses_and_shows_no_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervisor, "supervise", lambda *_: 0)
    monkeypatch.setenv("API_KEYS", "secret")
    Path(".env").write_text("PORTS=secret\n", encoding="utf-8")

    assert main(["serve", "--workers", "2", "--history-url", "sqlite:///chat.db"]) == 0
    assert capsys.readouterr().err == (
        "tokenfall: the environment has API_KEYS, which is not a setting; did you mean API_KEY?\n"
        "tokenfall: .env has PORTS, which is not a setting; did you mean PORT?\n"
    )
