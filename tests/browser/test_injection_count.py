"""Counts the responses with scripts and markup that the chat page showed as text, for docs/reliability.md (B2)."""

import json
from pathlib import Path

import pytest

from tests.browser.pages import Pages
from tests.browser.test_injections import ASK, TEXTS, all_forms, echo_script, forms, typed, watched
from tests.end_to_end.conftest import Serve
from tests.reliability.conftest import tally
from tests.reliability.rows import Tally

__all__ = ["all_forms", "forms", "tally"]

A_CONVERSATION = 50
"""Forms per conversation: the browser takes longer to lay out a long one."""


@pytest.mark.timeout(600)
@pytest.mark.row("injections")
def test_scripts_and_markup_in_responses_stay_text(
    open_page: Pages, serve: Serve, forms: list[str], tmp_path: Path, tally: Tally
) -> None:
    each = min(tally.required // 2, len(forms))
    for bypass_csp in (False, True):
        for start in range(0, each, A_CONVERSATION):
            some = forms[start : min(each, start + A_CONVERSATION)]
            server = serve(SIM=f"script={echo_script(some, tmp_path)},gap=0ms")
            shown = watched(open_page, server, bypass_csp=bypass_csp)
            assert shown.page.evaluate(ASK, json.dumps(some)) == []
            assert shown.page.evaluate(TEXTS, "user") == [0, [typed(form) for form in some]]
            assert shown.wrong() == []
            tally.attempts += len(some)
    tally.passed(f"{each} variants with and without the policy: no script ran, no request to another host")
