"""Every regular expression of `src`, how it is used, and why it takes linear time.

docs/decisions/0020-bounded-work.md has the same list. A module's expressions are in the order in which they stand.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import tokenfall
from tokenfall.wire.json_document import JSONDocument

SOURCES = Path(tokenfall.__file__).parent
CALLS = ("compile", "match", "fullmatch", "search", "split", "sub", "subn", "findall", "finditer")
MARKS = ("import re", "pattern=")
"""A file without any of them has no expression. To parse all files takes half a second in each process."""

AnyText = Any
Use = Callable[[re.Pattern[Any], AnyText], object]


def search(pattern: re.Pattern[Any], text: AnyText) -> object:
    return pattern.search(text)


def all_found(pattern: re.Pattern[Any], text: AnyText) -> object:
    return sum(1 for _ in pattern.finditer(text))


def match(pattern: re.Pattern[Any], text: AnyText) -> object:
    return pattern.match(text)


def fullmatch(pattern: re.Pattern[Any], text: AnyText) -> object:
    return pattern.fullmatch(text)


def in_array(_: re.Pattern[Any], text: AnyText) -> object:
    """`JSONDocument` applies its expressions in turn, each from the end of the match before."""
    return JSONDocument().feed(b"[" + text)


def words(pattern: re.Pattern[Any], text: AnyText) -> object:
    return all_found(pattern, text.rstrip())


OURS = "applied only to text of this server"
RUN = "a single repeated class"
SHORT = "a bounded number of characters at a fixed position"
NAME = "anchored at both ends, with bounded length"

TABLE: dict[str, list[tuple[Use | None, str]]] = {
    "api/openapi/document.py": [(None, "our own paths")],
    "api/openapi/schemas.py": [(None, "our own schemas")],
    "api/page.py": [
        *[(None, "our own files")] * 6,
        (fullmatch, "one repeated zero after a fixed text"),
    ],
    "recording/redaction.py": [
        (all_found, "starts with a quote; possessive white space and backslashes, which cannot contain a quote"),
        (match, "possessive; its alternatives start with different characters"),
        (match, RUN),
        (all_found, "fixed texts, then one possessive repetition, at whose end the match ends"),
    ],
    "simulator/scenarios/json_text.py": [
        (all_found, "its alternatives start with different characters; a string is possessive and need not be closed"),
        (search, "starts with a fixed text; one possessive repetition of digits"),
    ],
    "simulator/scenarios/matching.py": [(all_found, RUN)],
    "simulator/scenarios/patterns.py": [(None, "from a scenario file: see `scenarios/test_patterns.py`")] * 2,
    "simulator/scenarios/yaml_text.py": [
        (fullmatch, "fixed texts"),
        (fullmatch, "fixed texts"),
        (fullmatch, "fixed texts"),
        (fullmatch, SHORT),
        (fullmatch, "digits separated by a point and an e; each repetition backtracks at most once"),
    ],
    "tokens.py": [(words, "possessive; in a text that ends with a word, white space always leads to a word")],
    "wire/anthropic/errors.py": [
        (fullmatch, "a fixed text, then the rest of the text"),
        (match, "fixed texts around one repetition each"),
        (match, "fixed texts around one repetition of digits"),
        (match, "fixed texts around one repetition that excludes its end"),
        (match, "a fixed text, then the rest of the text"),
        (all_found, "starts with a bracket; one repetition of digits"),
    ],
    "wire/anthropic/request.py": [(search, NAME)],
    "wire/anthropic/response.py": [(None, OURS)],
    "wire/json_document.py": [
        (in_array, "possessive; its alternatives start with different characters"),
        (in_array, "possessive; reads an unclosed object or array of one level at most twice"),
        (in_array, "possessive; its parts start with different characters"),
    ],
    "wire/ollama/messages.py": [(match, "repeated classes at a fixed position; each backtracks at most three times")],
    "wire/ollama/models.py": [(None, OURS)],
    "wire/ollama/request.py": [
        (fullmatch, "possessive, at a fixed position, on at most 200 characters"),
        (fullmatch, RUN),
    ],
    "wire/openai/completions/response.py": [(None, OURS)],
    "wire/openai/document.py": [(None, OURS)],
    "wire/openai/responses/body.py": [(search, NAME)],
    "wire/openai/responses/document.py": [(None, OURS)],
    "wire/openai/tools.py": [(search, NAME), (search, NAME)],
    "wire/plain/chat.py": [(search, NAME)],
    "wire/plain/conversations.py": [(search, NAME), (search, NAME)],
    "wire/plain/importing.py": [(search, NAME)],
    "wire/request_json.py": [
        (all_found, "one character"),
        (search, "a bounded number of characters"),
        (all_found, "possessive; its parts start with different characters"),
    ],
    "wire/sse_decoder.py": [
        (all_found, "one or two characters"),
        (match, "one possessive repetition between fixed texts, at a fixed position"),
        (match, "one possessive repetition between fixed texts, at a fixed position"),
    ],
    "wire/times.py": [(None, OURS)],
    "wire/upstream/surrogates.py": [(all_found, "one character"), (search, "four characters")],
}


@dataclass(frozen=True)
class Expression:
    """An expression, its module and its index there from 0.

    `pattern` is None if it is neither a literal nor a constant of the module.
    """

    module: str
    number: int
    pattern: re.Pattern[Any] | None

    def __str__(self) -> str:
        return f"{self.module}[{self.number}]"


def expressions() -> Iterator[Expression]:
    """Every expression found in the syntax trees of the sources."""
    for path in sorted(SOURCES.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if not any(part in text for part in MARKS):
            continue
        module = path.relative_to(SOURCES).as_posix()
        tree = ast.parse(text)
        for number, node in enumerate(sorted(_in(tree), key=_place)):
            yield Expression(module, number, _compiled(node) or _assigned(tree, node, module))


def _place(node: ast.Call) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _in(tree: ast.AST) -> Iterator[ast.Call]:
    """Calls of `re` or `re2`, and calls with a `pattern=` argument."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        of_re = (
            isinstance(called, ast.Attribute)
            and isinstance(called.value, ast.Name)
            and called.value.id in {"re", "re2"}
            and called.attr in CALLS
        )
        if of_re or any(keyword.arg == "pattern" for keyword in node.keywords):
            yield node


def _compiled(call: ast.Call) -> re.Pattern[Any] | None:
    given = next((keyword.value for keyword in call.keywords if keyword.arg == "pattern"), None) or call.args[0]
    try:
        text = ast.literal_eval(given)
    except ValueError:
        return None
    flags = re.NOFLAG
    for argument in call.args[1:]:
        for name in ast.walk(argument):
            if isinstance(name, ast.Attribute):
                flags |= getattr(re, name.attr, re.NOFLAG)
    return re.compile(text, flags)


def _assigned(tree: ast.Module, call: ast.Call, module: str) -> re.Pattern[Any] | None:
    """The expression of a module-level constant that is not a literal."""
    for each in tree.body:
        if isinstance(each, ast.Assign) and each.value is call and isinstance(each.targets[0], ast.Name):
            name = f"tokenfall.{module.removesuffix('.py').replace('/', '.')}"
            found = getattr(import_module(name), each.targets[0].id)
            return found if isinstance(found, re.Pattern) else None
    return None
