"""All fuzzing seeds and thousands of mutations of them pass, and defects of a decoder are detected."""

from pathlib import Path
from random import Random

import pytest

from tokenfall.wire.sse_decoder import ServerSentEvent, SSEDecoder

from tests.fuzz import targets
from tests.fuzz.targets import TARGETS

SEEDS = sorted((Path(__file__).parent / "seeds").glob("*/*"))
MUTATIONS = 200
"""The number of mutations of each seed."""


def mutated(data: bytes, random: Random) -> bytes:
    """Apply one to four random changes: delete, duplicate, insert or replace bytes."""
    changed = bytearray(data)
    for _ in range(random.randrange(1, 5)):
        at = random.randrange(len(changed) + 1)
        piece = bytes(changed[at : at + random.randrange(1, 9)])
        change = random.randrange(4)
        if change == 0:
            del changed[at : at + len(piece)]
        elif change == 1:
            changed[at:at] = piece
        elif change == 2:
            changed[at:at] = random.choice(
                [b"\n", b"\r", b"\r\n", b'"', b"{", b"[", b":", b"\x00", b"\xff", b"null", b"1"]
            )
        else:
            changed[at : at + 1] = bytes([random.randrange(256)])
    return bytes(changed)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed.parent.name}/{seed.name}")
def test_seed_and_its_mutations_pass(seed: Path) -> None:
    check, data, random = TARGETS[seed.parent.name], seed.read_bytes(), Random(seed.name)
    check(data)
    for _ in range(MUTATIONS):
        check(mutated(data, random))


def test_decoder_that_drops_an_event_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    class LossyDecoder(SSEDecoder):
        def feed(self, data: bytes) -> list[ServerSentEvent]:
            return super().feed(data)[:1]

    monkeypatch.setattr(targets, "SSEDecoder", LossyDecoder)
    with pytest.raises(AssertionError):
        targets.check_sse(b"\x02\x00data: a\n\ndata: b\n\n")


def test_undocumented_exception_of_a_decoder_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "DECODERS", (lambda body: {}[body],))
    with pytest.raises(KeyError):
        targets.check_request(b"\x00{}")
