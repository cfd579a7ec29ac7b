import re

import pytest

from tokenfall import __version__
from tokenfall.cli.arguments import flags_of, parse
from tokenfall.cli.flags import flag
from tokenfall.settings import load
from tokenfall.settings.fields import SETTINGS

FLAGGED = [field for field, about in SETTINGS.items() if about.flag]


def exit_status(*words: str) -> object:
    with pytest.raises(SystemExit) as caught:
        parse(words)
    return caught.value.code


def test_flags_match_the_settings_that_may_be_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("serve", "--help") == 0
    shown = re.findall(r"^  (--[a-z0-9-]+) ", capsys.readouterr().out, re.MULTILINE)

    assert shown == [f"--{field.replace('_', '-')}" for field in FLAGGED]


@pytest.mark.parametrize("secret", ["--groq-api-key", "--openai-api-key", "--upstream-api-key"])
@pytest.mark.parametrize("separator", [" ", "="])
def test_secrets_are_not_flags_and_not_shown(secret: str, separator: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("serve", *f"{secret}{separator}gsk_1".split()) == 2
    output = capsys.readouterr().err
    assert output.startswith(
        f"tokenfall: {secret} is not a flag, because other users of the machine could see it; set "
    )
    assert secret.removeprefix("--").replace("-", "_").upper() in output
    assert "gsk_1" not in output


@pytest.mark.parametrize("field", FLAGGED)
def test_flag_sets_its_setting(field: str) -> None:
    given = flags_of(parse(["serve", flag(field), "x"]))

    assert given[field.upper()] == "x"
    assert [name for name, text in given.items() if text is not None] == [field.upper()]


def test_absent_flags_are_none() -> None:
    assert set(flags_of(parse(["serve"])).values()) == {None}


def test_flag_overrides_the_environment() -> None:
    assert load(flags_of(parse(["serve", "--port", "1"])), {"PORT": "2", "HOST": "::1"}).port == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "takes a command: serve, record, fit, health; see tokenfall --help"),
        ("fly", "unknown command; takes serve, record, fit, health; see tokenfall --help"),
        (
            "--port 9000 serve",
            "flags follow the command, as in tokenfall serve --port 9000; see tokenfall --help",
        ),
        ("serve --port", "--port: got no value, takes an integer from 0 to 65535; see tokenfall serve --help"),
        ("serve secret", "got a value without its flag, takes --FLAG VALUE; see tokenfall serve --help"),
        ("serve --nonsense=secret", "unknown flag --nonsense; see tokenfall serve --help"),
        ("serve --prot secret", "unknown flag --prot; did you mean --port?"),
        ("serve --api_key=secret", "unknown flag --api_key; did you mean --api-key?"),
        ("serve --Model secret", "unknown flag --Model; did you mean --model?"),
        ("serve --h=secret", "unknown flag --h; see tokenfall serve --help"),
        ("fit secret --ot y", "unknown flag --ot; did you mean --out?"),
        ("fit", "the following arguments are required: FILE; see tokenfall fit --help"),
        ("record --out", "--out: got no value, takes one value; see tokenfall record --help"),
    ],
)
def test_invalid_arguments_print_one_line_without_values(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_status(*words.split()) == 2
    assert capsys.readouterr().err == f"tokenfall: {message}\n"


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
