import pytest

from tokenfall.simulator.schema.budget import Budget, Unsatisfiable
from tokenfall.simulator.schema.pattern_chars import DOT, ESCAPED_CLASSES, chars_of, complement, one_char
from tokenfall.simulator.schema.patterns import (
    MAX_GROUPS,
    MAX_PATTERN,
    Alternation,
    Assertion,
    Concat,
    Node,
    Repeat,
    parse_pattern,
)

A, B, C = map(one_char, "abc")


def tree(pattern: str) -> Node:
    return parse_pattern(pattern, Budget())


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", Concat(())),
        ("a", A),
        ("ab", Concat((A, B))),
        ("a|", Alternation((A, Concat(())))),
        ("^a$", Concat((Assertion("^"), A, Assertion("$")))),
        (r"\ba\B", Concat((Assertion("b"), A, Assertion("B")))),
        ("(a|b)c", Concat((Alternation((A, B)), C))),
        ("(?:a)(?<x>b)(?P<y>c)", Concat((A, B, C))),
        ("a*b+?c??", Concat((Repeat(A, 0, 10**9), Repeat(B, 1, 10**9), Repeat(C, 0, 1)))),
        ("a{2}b{2,}c{0,3}?", Concat((Repeat(A, 2, 2), Repeat(B, 2, 10**9), Repeat(C, 0, 3)))),
        ("a{", Concat((A, one_char("{")))),
        ("a{x}", Concat((A, *map(one_char, "{x}")))),
        ("{", one_char("{")),
        ("a{1,x}", Concat((A, *map(one_char, "{1,x}")))),
        (".", DOT),
        (r"\d\D", Concat((ESCAPED_CLASSES["d"], ESCAPED_CLASSES["D"]))),
        (r"\t\n\v\f\r\0\cA", Concat(tuple(map(one_char, "\t\n\v\f\r\0\x01")))),
        (r"\.\/\-\]\ ", Concat(tuple(map(one_char, "./-] ")))),
        (r"\x61\u0062\u{63}", Concat((A, B, C))),
        (r"\uD83D\uDE00\u{1F600}", Concat((one_char("😀"), one_char("😀")))),
        ("[abc]", chars_of([(97, 99)])),
        ("[a-c]", chars_of([(97, 99)])),
        ("[^a-c]", complement(chars_of([(97, 99)]))),
        ("[^]", chars_of([(0, 0x10FFFF)])),
        ("[a-]", chars_of([(97, 97), (45, 45)])),
        (r"[\w-.]", chars_of([*ESCAPED_CLASSES["w"].ranges, (45, 46)])),
        (r"[a-\d]", chars_of([(97, 97), (45, 45), (48, 57)])),
        (r"[\b\]\\^]", chars_of([(8, 8), (93, 93), (92, 92), (94, 94)])),
        (r"[\x61-\u0063]", chars_of([(97, 99)])),
        (r"\p{Lu}\p{gc=Nd}", Concat((chars_of([(65, 90)]), chars_of([(48, 57)])))),
        (r"[^\p{L}]", chars_of([(0, 64), (91, 96), (123, 127)])),
        (r"\P{L}", chars_of([(0, 64), (91, 96), (123, 127)])),
    ],
)
def test_pattern_is_parsed_as_a_tree(pattern: str, expected: Node) -> None:
    assert tree(pattern) == expected


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?=a)", "look-around"),
        ("(?!a)", "look-around"),
        ("(?<=a)", "look-around"),
        ("(?<!a)", "look-around"),
        (r"(a)\1", "back-references"),
        (r"(?<x>a)\k<x>", "back-references"),
        (r"\01", "back-references"),
        ("(?i)a", "a group of this kind"),
        ("(?>a)", "a group of this kind"),
        ("(?<1>a)", "the name of a group"),
        ("(?<x", "the name of a group"),
        ("(", "a group is not closed"),
        ("(a", "a group is not closed"),
        (")", "has no matching"),
        ("a)", "has no matching"),
        ("*", "nothing to repeat"),
        ("+a", "nothing to repeat"),
        ("a**", "nothing to repeat"),
        ("{2}", "nothing to repeat"),
        ("^*", "an anchor is repeated"),
        ("a{,3}", "no minimum"),
        ("a{3,2}", "above its maximum"),
        ("a{1000000000}", "repetitions"),
        ("[", "it is incomplete"),
        ("[a", "it is incomplete"),
        ("\\", "it is incomplete"),
        ("[]", "a class has no character"),
        (r"[^\s\S]", "a class has no character"),
        ("[c-a]", "ends before it begins"),
        (r"\xZZ", "hexadecimal"),
        (r"\u12", "hexadecimal"),
        (r"\u{}", "hexadecimal"),
        (r"\u{110000}", "hexadecimal"),
        (r"\u{0000000061}", "hexadecimal"),
        (r"\u{61", "not closed"),
        (r"\ud800", "surrogate"),
        (r"\A", "the escape"),
        (r"\p", "property"),
        (r"\p{Greek}", "property"),
        ("a" * (MAX_PATTERN + 1), "characters"),
        ("(" * (MAX_GROUPS + 1), "groups"),
    ],
)
def test_pattern_that_is_not_supported_is_refused_by_its_keyword(pattern: str, why: str) -> None:
    with pytest.raises(Unsatisfiable, match=f"`pattern`.*{why}"):
        tree(pattern)


def test_pattern_error_lists_the_accepted_syntax() -> None:
    with pytest.raises(Unsatisfiable, match="accepted are literals, classes, groups, alternatives, quantifiers"):
        tree("(?=a)")
