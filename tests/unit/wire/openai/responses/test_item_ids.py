import pytest

from tokenfall.messages import ToolCall
from tokenfall.wire.openai.responses.item_ids import DIGEST_DIGITS, digest_of, item_id


def test_item_id_has_a_prefix_per_kind() -> None:
    assert [item_id(kind, "ab", index=3) for kind in ("text", "thought", "call")] == ["msg_ab3", "rs_ab3", "fc_ab3"]


@pytest.mark.parametrize(("custom", "prefix"), [(False, "fc"), (True, "ctc")])
def test_item_id_contains_a_generated_call_id_and_the_tool(custom: bool, prefix: str) -> None:
    generated, own = (ToolCall(name, "f", "", custom=custom) for name in ("call_ab0", "mine"))

    assert item_id("call", "ab", index=3, call=generated) == f"{prefix}_ab0{digest_of('f')}"
    assert item_id("call", "ab", index=3, call=own) == f"{prefix}_ab3"


def test_digest_has_a_fixed_length_and_differs_by_name() -> None:
    digests = {digest_of(name) for name in ("a", "b", "\ud800", "")}

    assert len(digests) == 4
    assert {len(digest) for digest in digests} == {DIGEST_DIGITS}
