import re

import pytest

from tokenfall import __version__
from tokenfall.cli.arguments import parse
from tokenfall.cli.flags import flag
from tokenfall.settings import load
from tokenfall.settings.fields import setting_fields

FLAGGED = [field for field, about in setting_fields().items() if about.flag]


def exit_status(*words: str) -> object:
    with pytest.raises(SystemExit) as caught:
        parse(words)
    return caught.value.code


def test_flags_match_the_settings_that_may_be_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("serve", "--help") == 0
    shown = re.findall(r"^  (--[a-z0-9-]+) ", capsys.readouterr().out, re.MULTILINE)

    assert shown == [f"--{field.replace('_', '-')}" for field in FLAGGED]


@pytest.mark.parametrize("secret", ["--groq-api-key", "--openai-api-key", "--upstream-api-key"])
def test_secrets_are_not_flags(secret: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("serve", secret, "x") == 2
    assert f"unrecognized arguments: {secret} x" in capsys.readouterr().err


@pytest.mark.parametrize("field", FLAGGED)
def test_flag_sets_its_setting(field: str) -> None:
    given = parse(["serve", flag(field), "x"])

    assert given[field.upper()] == "x"
    assert [name for name, text in given.items() if text is not None] == [field.upper()]


def test_absent_flags_are_none() -> None:
    assert set(parse(["serve"]).values()) == {None}


def test_flag_overrides_the_environment() -> None:
    assert load(parse(["serve", "--port", "1"]), {"PORT": "2", "HOST": "::1"}).port == 1


@pytest.mark.parametrize("words", [(), ("fly",), ("serve", "--nonsense"), ("serve", "--port"), ("serve", "x")])
def test_invalid_arguments_exit_with_a_usage_line(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status(*words) == 2
    assert capsys.readouterr().err.startswith("usage: tokenfall")


@pytest.mark.parametrize(
    ("word", "suggested"),
    [
        ("--prot", "; did you mean --port?"),
        ("--api_key=secret", "; did you mean --api-key?"),
        ("--Model", "; did you mean --model?"),
        ("--nonsense", "; tokenfall serve --help lists all flags"),
    ],
)
def test_unknown_flag_error_suggests_a_similar_flag(
    word: str, suggested: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status("serve", word) == 2
    assert capsys.readouterr().err.endswith(f"unrecognized arguments: {word}{suggested}\n")


def test_flags_are_not_abbreviated() -> None:
    assert exit_status("serve", "--por", "1") == 2


def test_help_names_every_setting_its_environment_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("serve", "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    for field in FLAGGED:
        assert flag(field) in text
        assert f"[{field.upper()}]" in text
    assert "(default: 8080)" in text


def test_version_prints_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("--version") == 0
    assert capsys.readouterr().out == f"tokenfall {__version__}\n"
