"""What a new user may get wrong: each stops the start with one line that names the setting and what it takes."""

from pathlib import Path

import pytest

from tokenfall.cli.main import USAGE_ERROR, main

SECRET = "gsk-secret"

WRONG = [
    ("PORT=http", "PORT: got 'http', takes an integer from 0 to 65535"),
    ("PORT=99999", "PORT: got '99999', takes an integer from 0 to 65535"),
    ("WORKERS=0", "WORKERS: got '0', takes an integer from 1 to 64"),
    ("WORKERS=2", "WORKERS: got 2 with HISTORY_URL=memory://"),
    ("RATE_LIMIT_RPS=-1", "RATE_LIMIT_RPS: got '-1', takes a number"),
    ("IDLE_TIMEOUT=30", "IDLE_TIMEOUT: got '30', takes a duration above 0 with a unit, such as 250ms, 10s or 2m"),
    ("MAX_BODY=1MB", "MAX_BODY: got '1MB', takes a size above 0, in bytes or with a unit, such as 16KiB or 1MiB"),
    ("LOG_LEVEL=WARN", "LOG_LEVEL: got 'WARN', takes one of debug, info, warning, error"),
    ("ALLOW_ANONYMOUS=maybe", "ALLOW_ANONYMOUS: got 'maybe', takes true or false"),
    (
        f"API_KEY={SECRET} {SECRET}",
        "API_KEY: got a value that is not shown, takes keys of ASCII characters without spaces",
    ),
    ("API_KEY=sha256:abc", "API_KEY: got a value that is not shown, takes keys of ASCII characters without spaces"),
    ("TRUSTED_PROXIES=10.0.0.0/99", "TRUSTED_PROXIES: got '10.0.0.0/99', takes networks"),
    ("CORS_ORIGINS=example.com", "CORS_ORIGINS: got 'example.com', takes origins"),
    ("SIM=gap=soon", "SIM: got 'gap=soon': simulator: gap got 'soon', takes a duration"),
    ("SIM=gpa=20ms", "SIM: got 'gpa=20ms': simulator: unknown key 'gpa'; keys: gap, "),
    ("SIM=fault=explode@3", "SIM: got 'fault=explode@3': simulator: fault got 'explode@3', takes KIND@N"),
    ("SIM=script=nope.yml", "SIM: got 'script=nope.yml': simulator: script nope.yml: cannot be read"),
    ("SIM=profile=nope", "SIM: got 'profile=nope': simulator: there is no profile 'nope'; there are "),
    (
        "HISTORY_URL=sqlite:///nodir/chat.db",
        "HISTORY_URL: got 'sqlite:///nodir/chat.db', takes memory://, sqlite:///file",
    ),
    ("HISTORY_URL=sqlite://chat.db", "HISTORY_URL: got 'sqlite://chat.db', takes memory://, sqlite:///file"),
    ("HISTORY_URL=sqlite:///notes.txt", "HISTORY_URL: got 'sqlite:///notes.txt', which is not an SQLite database"),
    ("REDIS_URL=localhost:6379", "REDIS_URL: got 'localhost:6379', takes redis://"),
    (f"REDIS_URL=redis://:{SECRET}@localhost:abc", "REDIS_URL: invalid Redis URL; takes redis://"),
    ("UPSTREAM_URL=localhost:11434", "UPSTREAM_URL: got 'localhost:11434', takes an http or https address"),
    (
        "UPSTREAM_URL=http://127.0.0.1:1/v1/chat/completions",
        "UPSTREAM_URL: got 'http://127.0.0.1:1/v1/chat/completions': takes the address before /chat/completions",
    ),
    (
        f"GROQ_API_KEY={SECRET} HOST=0.0.0.0",
        "HOST: got '0.0.0.0' with an upstream and no API_KEY, which would expose your upstream to anyone; takes",
    ),
    (
        "UPSTREAM_URL=https://127.0.0.1:1 SSL_CERT_FILE=notes.txt",
        "SSL_CERT_FILE: got 'notes.txt', which contains no certificate",
    ),
    (
        "UPSTREAM_URL=https://127.0.0.1:1 HTTPS_PROXY=foo:bar",
        "HTTPS_PROXY: takes the address of an HTTP proxy, such as http://proxy.example:3128",
    ),
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.txt").write_text("Notes", encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("variables", "message"), WRONG, ids=[each[:40] for each, _ in WRONG])
def test_wrong_setting_stops_the_start_with_one_line(
    variables: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for each in [variables] if variables.startswith("API_KEY") else variables.split():
        monkeypatch.setenv(*each.split("=", 1))

    assert main(["serve"]) == USAGE_ERROR
    output = capsys.readouterr()
    assert output.err.startswith(f"tokenfall: {message}")
    assert (output.err.count("\n"), output.out) == (1, "")
    assert SECRET not in output.err
