import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tokenfall.cli.arguments import flags_of, parse
from tokenfall.cli.flags import flag, plain_flags
from tokenfall.settings.fields import SETTINGS

FLAGS = [flag(field) for field, about in SETTINGS.items() if about.flag]
WORDS = st.one_of(
    st.sampled_from(FLAGS),
    st.sampled_from(FLAGS).map("{}=1".format),
    st.sampled_from(["serve", "record", "health", "--help", "-h", "--", "-1", "--prot", "--port=", "", "9000", "a b"]),
)


@given(st.lists(WORDS, max_size=6).map(lambda words: ["serve", *words]))
@example(["serve", "--port", "9000", "--host=::1"])
@example(["serve", "--port", "9000", "--port", "9001"])
def test_plain_flags_are_read_as_argparse_reads_them(words: list[str]) -> None:
    flags = plain_flags(words)

    if flags is not None:
        assert flags == {name: value for name, value in flags_of(parse(words)).items() if value is not None}


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (["serve"], {}),
        (["serve", "--port", "9000", "--rate-limit-rps=0"], {"PORT": "9000", "RATE_LIMIT_RPS": "0"}),
        (["serve", "--sim", "gap=5ms,text=a=b"], {"SIM": "gap=5ms,text=a=b"}),
    ],
)
def test_unabbreviated_flags_need_no_argparse(words: list[str], flags: dict[str, str]) -> None:
    assert plain_flags(words) == flags


@pytest.mark.parametrize(
    "words",
    [[], ["fit"], ["--version"], ["serve", "--help"], ["serve", "--port"], ["serve", "x"], ["serve", "--prot=1"]],
)
def test_other_command_lines_are_parsed_by_argparse(words: list[str]) -> None:
    assert plain_flags(words) is None
