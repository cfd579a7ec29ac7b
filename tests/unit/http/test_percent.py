from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.http.percent import unquoted


@pytest.mark.parametrize("text", ["", "a", "%", "%4", "%41", "%%41", "%+1", "% 1", "%C3%A9%zz", "%ff%41", "a%2", "%1_"])
def test_escapes_decode_like_urllib(text: str) -> None:
    assert unquoted(text) == unquote(text)


@given(st.text(st.sampled_from("%09afAFgé+ _"), max_size=20).map(lambda text: text.replace("é", "%C3%A9")))
def test_any_text_decodes_like_urllib(text: str) -> None:
    assert unquoted(text) == unquote(text)
