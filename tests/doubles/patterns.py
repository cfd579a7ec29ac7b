"""Hypothesis strategies for short regular expressions that `re` accepts."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

_atoms = st.sampled_from(
    [
        "a",
        "b",
        "-",
        r"\.",
        r"\d",
        r"\w",
        r"\s",
        "[a-c]",
        "[^a-z]",
        ".",
        r"\x41",
        r"[\d_-]",
        "é",
        r"\/",
        r"[^\s,]",
        r"\S",
    ]
)
_quantifiers = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "*?", "+?"])


@st.composite
def quantified(draw: Callable[..., Any], atoms: st.SearchStrategy[str]) -> str:
    return f"{draw(atoms)}{draw(_quantifiers)}"


@st.composite
def grouped(draw: Callable[..., Any], children: st.SearchStrategy[str]) -> str:
    options = draw(st.lists(st.lists(quantified(children), max_size=2).map("".join), min_size=1, max_size=3))
    return f"({draw(st.sampled_from(['', '?:']))}{'|'.join(options)})"


trees = st.recursive(_atoms, grouped, max_leaves=5)
patterns = st.tuples(st.sampled_from(["^", ""]), trees, quantified(trees), st.sampled_from(["$", ""])).map("".join)
