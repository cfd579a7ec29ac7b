"""The source uses only codecs that are built into the interpreter.

An image contains only the modules that its build imported. Other codecs are modules that are imported at first use.
"""

import ast
import codecs
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILT_IN = {"ascii", "iso8859-1", "utf-8", "utf-16"}
IMPORTED = {("upstream/address.py", "idna")}
"""Imported during the image build, which connects to an upstream by host name."""


def named_codecs(source: str) -> Iterator[str]:
    """Literal codec names: the first argument of `encode` and `decode`, and the argument `encoding` of any call."""
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        values = [each.value for each in call.keywords if each.arg == "encoding"]
        if isinstance(call.func, ast.Attribute) and call.func.attr in {"encode", "decode"}:
            values += call.args[:1]
        for value in values:
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield codecs.lookup(value.value).name


def test_source_uses_only_built_in_codecs() -> None:
    package = ROOT / "src" / "tokenfall"
    found = {
        (str(path.relative_to(package)), codec)
        for path in package.rglob("*.py")
        for codec in named_codecs(path.read_text(encoding="utf-8"))
    }

    assert {codec for _, codec in found} >= BUILT_IN - {"utf-16"}
    assert {(path, codec) for path, codec in found if codec not in BUILT_IN} == IMPORTED


def test_other_codec_is_detected() -> None:
    assert list(named_codecs('content.decode("utf-8-sig"); open(path, encoding="cp1252")')) == ["utf-8-sig", "cp1252"]
