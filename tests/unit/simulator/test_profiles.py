import re
from pathlib import Path

import pytest

from tokenfall.recording.empirical import Empirical, encode, quantiles
from tokenfall.simulator import profiles
from tokenfall.simulator.grammar import parse

PROFILES = profiles.load_profiles()


@pytest.mark.parametrize("name", PROFILES)
def test_builtin_profile_is_valid_grammar_with_source_and_date(name: str) -> None:
    simulation = parse(profiles.text_of(name))

    assert simulation.ttft is not None
    assert simulation.gap is not None
    assert simulation.prefill_s is not None
    assert 0.01 <= simulation.ttft.mean_s <= 2
    assert 0.002 <= simulation.gap.mean_s <= 0.1
    assert simulation.prefill_s > 0
    profile = PROFILES[name]
    assert re.search(r"\b20\d\d\b", profile.source)
    assert re.search(r"[a-z]\.(com|ai|lk|net)\b|documentation", profile.source)
    assert profile.estimated


def test_documented_profiles_exist() -> None:
    assert {"groq-70b", "gpt-4o", "gpt-4o-mini", "claude-sonnet", "claude-haiku", "llama-8b-local"} <= PROFILES.keys()


def test_unknown_profile_error_lists_the_profiles() -> None:
    with pytest.raises(ValueError, match=r"no profile 'gpt-9'.*groq-70b"):
        profiles.text_of("gpt-9")


def test_profile_file_is_read(tmp_path: Path) -> None:
    profile = Empirical(quantiles([0.1, 0.2]), quantiles([0.01]))
    file = tmp_path / "mine.json"
    file.write_bytes(encode(profile))

    assert profiles.read(str(file)) == profile


def test_unreadable_profile_is_refused_by_name(tmp_path: Path) -> None:
    missing, bad = tmp_path / "missing.json", tmp_path / "bad.json"
    bad.write_text("{}", encoding="utf-8")

    with pytest.raises(ValueError, match=r"missing\.json cannot be read: No such file"):
        profiles.read(str(missing))
    with pytest.raises(ValueError, match=r"bad\.json is not valid: .*missing required field"):
        profiles.read(str(bad))


def test_recording_docs_list_every_profile() -> None:
    page = (Path(__file__).parents[3] / "docs" / "recording.md").read_text(encoding="utf-8")

    for name, profile in PROFILES.items():
        simulation = parse(profiles.text_of(name))
        assert simulation.gap is not None
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        rate, ttft, prefill = (cell.strip().replace(",", "") for cell in row.strip("|").split("|")[1:])
        assert (int(rate), ttft.replace(" ", "")) == (round(1 / simulation.gap.mean_s), profile.ttft.partition("~")[0])
        assert prefill.replace(" ", "") == profile.prefill
