from pathlib import Path

import pytest

from tokenfall.errors import InvalidRequest
from tokenfall.messages import ChatRequest, Message
from tokenfall.recording.empirical import Empirical, encode, quantiles
from tokenfall.simulator import library as library_module
from tokenfall.simulator.grammar import Simulation
from tokenfall.simulator.library import Library
from tokenfall.simulator.values import Spread
from tokenfall.slicing.computation import at_once

SCRIPT = "- when: {last: hi}\n  say: hello there\n"
ASKED = ChatRequest(messages=(Message("user", "hi"),), model="m", max_tokens=10)
EXCHANGE = (
    b'{"v":1,"time":"2026-01-01T00:00:00Z","request":{"method":"POST","path":"/chat/completions","headers":{},'
    b'"body":{"model":"m","messages":[{"role":"user","content":"hi"}]}},'
    b'"answer":{"status":200,"headers":{"content-type":"application/json"},"streamed":false,"chunks":[[0.5,"{}"]]}}\n'
)
BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(str(tmp_path))


def test_script_is_read_from_the_folder(library: Library, tmp_path: Path) -> None:
    (tmp_path / "hi.yaml").write_text(SCRIPT, encoding="utf-8")

    assert at_once(library.script("hi.yaml").find(ASKED)).number == 1
    assert library.script("hi.yaml") is library.script("hi.yaml")


@pytest.mark.parametrize("name", ["../hi.yaml", "/etc/passwd", "a/../../hi.yaml", ".", "", "link/hi.yaml"])
def test_name_outside_the_folder_is_refused(library: Library, tmp_path: Path, name: str) -> None:
    (tmp_path.parent / "hi.yaml").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path.parent)

    for find in (library.script, library.recording):
        with pytest.raises(InvalidRequest, match="outside of SIM_FILES") as refused:
            find(name)
        assert refused.value.param == "script"
    with pytest.raises(InvalidRequest, match=r"outside of SIM_FILES|No such file"):
        library.profile(f"{name}.json")


def test_files_named_by_the_operator_may_be_anywhere(tmp_path: Path) -> None:
    script = tmp_path / "hi.yaml"
    script.write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "folder").mkdir()

    library = Library(str(tmp_path / "folder"), trusted=frozenset({str(script)}))
    assert at_once(library.script(str(script)).find(ASKED)).number == 1


def test_file_is_ready_after_its_first_read(library: Library, tmp_path: Path) -> None:
    (tmp_path / "hi.yaml").write_text(SCRIPT, encoding="utf-8")
    simulation = Simulation(script="hi.yaml")
    assert library.is_ready(Simulation())
    assert not library.is_ready(simulation)

    library.check(simulation)

    assert library.is_ready(simulation)


def test_error_of_an_invalid_script_has_its_line_and_not_its_folder(library: Library, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("- when: {}\n  speak: no\n", encoding="utf-8")

    with pytest.raises(InvalidRequest, match=r"bad\.yaml") as refused:
        library.script("bad.yaml")
    assert str(tmp_path) not in refused.value.message
    with pytest.raises(InvalidRequest, match=r"none\.yaml"):
        library.script("none.yaml")


def test_recording_is_reread_only_after_a_change(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(EXCHANGE)
    first = library.recording("r.jsonl")
    assert library.recording("r.jsonl") is first
    assert first.find(BODY, "/v1/chat/completions") is not None

    path.write_bytes(EXCHANGE * 2)
    assert len(library.recording("r.jsonl").exchanges) == 2


def test_error_of_a_broken_recording_has_its_line_and_not_its_folder(library: Library, tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(b"{}\n")

    with pytest.raises(InvalidRequest, match="line 1") as refused:
        library.recording("r.jsonl")
    assert str(tmp_path) not in refused.value.message
    with pytest.raises(InvalidRequest, match="No such file"):
        library.recording("none.jsonl")


def test_profile_is_builtin_or_a_file(library: Library, tmp_path: Path) -> None:
    times = quantiles([0.1, 0.2, 0.3])
    (tmp_path / "p.json").write_bytes(encode(Empirical(times, times)))
    named = library.profile("groq-70b")

    assert isinstance(named, Simulation)
    assert isinstance(named.gap, Spread)
    assert library.profile("p.json") == Empirical(times, times)


@pytest.mark.parametrize("name", ["nope", "none.json"])
def test_unknown_profile_is_refused(library: Library, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="profile") as refused:
        library.profile(name)
    assert refused.value.param == "profile"
    assert str(tmp_path) not in refused.value.message


def test_number_of_cached_files_is_limited(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_module, "MAX_CACHED", 2)
    for number in range(3):
        (tmp_path / f"{number}.yaml").write_text(SCRIPT, encoding="utf-8")
        library.script(f"{number}.yaml")

    assert [library.is_ready(Simulation(script=f"{number}.yaml")) for number in range(3)] == [False, True, True]
