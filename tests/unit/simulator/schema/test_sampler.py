from collections.abc import Callable
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tokenfall.errors import InvalidRequest
from tokenfall.simulator.schema.sampler import MAX_ITEMS, instance

Schemas = st.SearchStrategy[Any]
_names = st.text("abcxyz_/~%", min_size=1, max_size=4)
_small = st.integers(-20, 20)


def validated(schema: Any) -> Any:
    """The generated value for `schema`, as JSON; asserts that it satisfies the schema."""
    value = msgspec.json.decode(msgspec.json.encode(instance(schema)))
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER).validate(
        value
    )
    return value


# Strategies for satisfiable schemas


@st.composite
def texts(draw: Callable[..., Any]) -> Any:
    least = draw(st.integers(0, 40))
    more = draw(st.sampled_from([{}, {"minLength": least}, {"minLength": least, "maxLength": least + 3}]))
    return {"type": "string", **more}


@st.composite
def numbers(draw: Callable[..., Any]) -> Any:
    kind = draw(st.sampled_from(["integer", "number"]))
    schema: dict[str, Any] = {"type": kind}
    low = draw(st.one_of(_small, _small.map(lambda number: number + 0.25)))
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = low + 20
    if draw(st.booleans()):
        schema["multipleOf"] = draw(st.sampled_from([1, 2, 3, 7, 0.5, 0.25, 1.5]))
    return schema


constants = st.one_of(st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.text(max_size=5), st.just({"a": [1]}))
FORMATS = ["date", "date-time", "time", "email", "hostname", "ipv4", "ipv6", "uri", "uuid", "duration"]
leaves: Schemas = st.one_of(
    st.sampled_from([{}, True, {"type": "null"}, {"type": "boolean"}, {"type": ["null", "integer"]}, {"nullable": 1}]),
    texts(),
    numbers(),
    st.sampled_from(FORMATS).map(lambda each: {"type": "string", "format": each}),
    constants.map(lambda each: {"const": each}),
    st.lists(constants, min_size=1, max_size=4).map(lambda each: {"enum": each}),
)


@st.composite
def objects(draw: Callable[..., Any], children: Schemas) -> Any:
    properties = draw(st.dictionaries(_names, children, max_size=4))
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if properties:
        schema["required"] = draw(st.lists(st.sampled_from(sorted(properties)), unique=True))
    if draw(st.booleans()):
        schema["additionalProperties"] = False
    elif draw(st.booleans()):
        schema["required"] = [*schema.get("required", ()), draw(_names)]
        schema["minProperties"] = draw(st.integers(0, 6))
    return schema


@st.composite
def arrays(draw: Callable[..., Any], children: Schemas) -> Any:
    least = draw(st.integers(0, 4))
    schema: dict[str, Any] = {"type": "array", "items": draw(children), "minItems": least}
    if draw(st.booleans()):
        schema["maxItems"] = least + draw(st.integers(0, 2))
    if draw(st.booleans()):
        schema["prefixItems"] = draw(st.lists(children, min_size=1, max_size=3))
    return schema


@st.composite
def combined(draw: Callable[..., Any], children: Schemas) -> Any:
    one = draw(children)
    alternatives = draw(st.permutations([one, False, {"type": "null", "enum": [1]}]))
    return draw(
        st.sampled_from(
            [
                {"allOf": [one, {}]},
                {"allOf": [{"anyOf": alternatives}, {"anyOf": [True]}]},
                {"anyOf": alternatives},
                {"oneOf": [one, False]},
                {"allOf": [True, {"allOf": [one]}], "anyOf": [{}]},
            ]
        )
    )


schemas: Schemas = st.recursive(
    leaves, lambda children: st.one_of(objects(children), arrays(children), combined(children)), max_leaves=12
)


@given(schemas)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_value_satisfies_its_schema_and_is_deterministic(schema: Any) -> None:
    assert validated(schema) == instance(schema) == instance(msgspec.json.decode(msgspec.json.encode(schema)))


@given(schemas, schemas)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_references_are_resolved_and_recursion_ends(leaf: Any, other: Any) -> None:
    tree = {
        "type": "object",
        "properties": {
            "left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"$ref": "#/$defs/a~1b~0"}]},
            "right": {"oneOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
            "rest": {"type": "array", "items": {"$ref": "#"}},
            "other": {"$ref": "#/$defs/part/allOf/1"},
        },
        "required": ["left", "right", "rest", "other"],
    }

    validated({"$ref": "#/$defs/tree", "$defs": {"tree": tree, "a/b~": leaf, "part": {"allOf": [{}, other]}}})


JSON: Schemas = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text("ab#/$()*[^.", max_size=5)),
    lambda each: st.one_of(st.lists(each, max_size=3), st.dictionaries(st.text("ab", max_size=2), each, max_size=3)),
    max_leaves=5,
)
KEYWORDS = (
    "type enum const default properties required items prefixItems minItems maxItems minimum maximum exclusiveMinimum "
    "exclusiveMaximum multipleOf minLength maxLength format pattern allOf anyOf oneOf $ref additionalProperties "
    "minProperties maxProperties uniqueItems $defs not"
)
TYPES = st.sampled_from(["object", "array", "string", "number", "integer", "boolean", "null"])
junk: Schemas = st.recursive(
    JSON,
    lambda each: st.dictionaries(
        st.sampled_from(KEYWORDS.split()), st.one_of(each, st.lists(each, max_size=3), TYPES, st.just("#")), max_size=5
    ),
    max_leaves=10,
)


@given(junk)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_json_as_a_schema_gives_a_value_or_is_refused(schema: Any) -> None:
    try:
        msgspec.json.encode(instance(schema))
    except InvalidRequest as error:
        assert error.message.startswith("the simulator cannot satisfy this JSON schema: ")  # noqa: PT017 - valid if no error is raised


NUMBERED = {"type": "object", "properties": {"k": {"enum": list(range(40))}}, "required": ["k"]}
BASE = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {"type": "string"}},
        {"not": {"type": ["string", "number"]}},
        {"not": {"minimum": 0}, "type": "number"},
        {"not": {"exclusiveMinimum": 0}, "type": "number"},
        {"not": {"minLength": 3}, "type": "string"},
        {"not": {"pattern": "^l"}, "type": "string"},
        {"not": {"const": 1}, "type": "integer"},
        {"not": {"not": {"type": "null"}}},
        {"not": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
        {"not": {"allOf": [True, {"type": "string"}]}},
        {"not": {"required": ["a"]}, "properties": {"a": {}, "b": {}}},
        {"not": {"properties": {"a": {"type": "string"}}}},
        {"allOf": [{"not": {"type": "string"}}, {"not": {"type": "integer"}}]},
        {"enum": [1, 2, 3], "not": {"enum": [1, 2]}},
        {"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 2}]},
        {"oneOf": [{"type": "object", "properties": {f"p{number}": {"type": "integer"}}} for number in range(8)]},
        {"properties": {"a": {}, "b": {}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"if": {"type": "string"}, "then": {"minLength": 30}},
        {"type": "integer", "if": {"type": "integer"}, "then": {}, "else": True, "not": False},
        {"type": "integer", "if": {"const": 1}, "then": False, "else": {"minimum": 3}},
        {
            **NUMBERED,
            "if": {"properties": {"k": {"const": 0}}},
            "then": {"required": ["x"]},
            "else": {"required": ["y"]},
        },
        {
            **NUMBERED,
            "allOf": [
                {"if": {"properties": {"k": {"const": number}}}, "then": {"required": [f"x{number}"]}}
                for number in range(40)
            ],
        },
        {"required": ["a"], "dependentRequired": {"a": ["b"]}},
        {"required": ["a"], "dependentSchemas": {"a": {"required": ["c"], "properties": {"c": {"const": 1}}}}},
        {"properties": {"a": {}, "b": {}}, "dependentSchemas": {"a": False}},
        {"type": "array", "items": {"type": "integer"}, "contains": {"const": 7}},
        {"contains": {"type": "integer"}, "minContains": 3},
        {"minItems": 4, "contains": {"type": "integer"}, "maxContains": 1},
        {"type": "array", "contains": {"type": "integer"}, "minContains": 0},
        {"minProperties": 2, "propertyNames": {"pattern": "^[a-z]{2}$"}},
        {"required": ["a"], "minProperties": 3, "propertyNames": {"enum": ["a", "b", "c"]}},
        {"required": ["S_a"], "patternProperties": {"^S_": {"type": "integer"}}},
        {"properties": {"S_a": {"minimum": 3}}, "required": ["S_a"], "patternProperties": {"^S_": {"maximum": 3}}},
        {"patternProperties": {"^S_": {"type": "string"}}, "additionalProperties": False, "minProperties": 3},
        {"patternProperties": {"^S_": {"type": "string"}}, "additionalProperties": {"const": 1}, "minProperties": 1},
        {"required": ["b"], "properties": {"a": {}}, "unevaluatedProperties": {"type": "integer"}},
        {"prefixItems": [{"const": 1}], "unevaluatedItems": {"type": "integer"}, "minItems": 2},
        {"allOf": [{"multipleOf": 4}, {"multipleOf": 6}, {"type": "integer", "minimum": 1}]},
        {"enum": ["ab", "abc"], "type": "string", "pattern": "^.{3}$"},
        {"const": 1, "enum": [2, 1]},
        {"type": "array", "minItems": 40, "uniqueItems": True, "items": {"type": "string", "format": "date"}},
        {"$defs": {"b": BASE}, "allOf": [{"allOf": [{"$ref": "#/$defs/b"}]}, {"allOf": [{"$ref": "#/$defs/b"}]}]},
        {"$defs": {"b": BASE}, "$ref": "#/$defs/b", "oneOf": [{"allOf": [{"$ref": "#/$defs/b"}, {"required": ["x"]}]}]},
        {"$defs": {"t": True}, "required": ["a"], "$ref": "#/$defs/t", "properties": {"a": {"$ref": "#/$defs/t"}}},
    ],
    ids=str,
)
def test_value_satisfies_keywords_that_exclude_values(schema: Any) -> None:
    validated(schema)


@pytest.mark.parametrize("format_", [*FORMATS, "idn-email", "uri-reference", "json-pointer", "relative-json-pointer"])
def test_values_of_a_format_can_differ(format_: str) -> None:
    values = validated(
        {"type": "array", "minItems": 70, "uniqueItems": True, "items": {"type": "string", "format": format_}}
    )
    assert len(set(values)) == 70


def test_earlier_drafts_are_supported() -> None:
    assert instance({"type": "array", "items": [{"const": 1}, {"const": "a"}], "additionalItems": False}) == [1, "a"]
    assert instance({"type": "integer", "minimum": 3, "exclusiveMinimum": True}) == 4
    assert instance({"required": ["a"], "dependencies": {"a": ["b"], "b": {"required": ["c"]}}}).keys() == {*"abc"}


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"not": {}}, "not"),
        ({"type": "integer", "not": {"type": "number"}}, "not|type"),
        ({"oneOf": [{"type": "null"}, {"type": "null"}]}, "oneOf|not|type"),
        ({"type": "array", "maxItems": 1, "contains": {}, "minContains": 2}, "contains"),
        ({"contains": {}, "minContains": 2_000}, "minContains"),
        ({"required": ["a"], "propertyNames": {"maxLength": 0}}, "propertyNames"),
        ({"minProperties": 10**9}, "minProperties"),
        ({"type": "integer", "minimum": 1.2, "maximum": 1.8}, "minimum"),
        ({"$dynamicRef": "#a"}, "dynamicRef"),
    ],
)
def test_refusal_names_the_keyword(schema: Any, keyword: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"`\$?({keyword})`"):
        instance(schema)


@pytest.mark.parametrize(
    "schema",
    [
        False,
        None,
        "string",
        [],
        {"enum": []},
        {"type": "integer", "exclusiveMinimum": 2, "exclusiveMaximum": 3},
        {"type": "array", "minItems": 3, "maxItems": 2},
        {"type": "array", "minItems": MAX_ITEMS + 1},
        {"type": "array", "items": {"enum": [1, 2]}, "minItems": 3, "uniqueItems": True},
        {"type": "object", "required": ["a"], "additionalProperties": False},
        {"type": "object", "required": ["a", "b"], "maxProperties": 1},
        {"allOf": [{"const": 1}, {"const": 2}]},
        {"allOf": [{"enum": [1, 2]}, {"type": "string"}]},
        {"anyOf": [False, {"type": "integer", "minimum": 1, "maximum": 0}]},
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"required": ["a", 1]},
        {"properties": {"a": 7}, "required": ["a"]},
        {"allOf": ["a"]},
    ],
)
def test_unsatisfiable_schema_is_refused(schema: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^the simulator cannot satisfy this JSON schema: "):
        instance(schema)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object", "properties": {"city": {"type": "string"}, "x": {}}}, {"city": "some city"}),
        ({"type": "object", "properties": {"a": {}, "b": {"const": 1}}, "required": ["b"]}, {"b": 1}),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, None),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "string", "pattern": r"^[A-Z]{3}-\d+$"}, "TOK-123"),
        ({"enum": [0, 5], "minimum": 1}, 5),
        ({"allOf": [{"anyOf": [{"const": 1}, {"const": 2}]}, {"anyOf": [{"const": 2}, {"const": 3}]}]}, 2),
        ({"allOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]}, 2),
        ({"allOf": [{"properties": {"a": {"minimum": 2}}}, {"properties": {"a": {"type": "integer"}}}]}, {"a": 2}),
        ({"properties": {"next": {"$ref": "#"}}}, {"next": {}}),
        ({"properties": {"a": {}, "b": {}}, "required": ["a"], "minProperties": 2}, {"a": "some a", "b": "some b"}),
        ({"$ref": "#/$defs/any", "$defs": {"any": True}}, "large language models"),
        ({"type": "array", "items": {"enum": ["a", "a", "b"]}, "minItems": 2, "uniqueItems": True}, ["a", "b"]),
    ],
)
def test_schema_has_its_example_value(schema: Any, value: Any) -> None:
    assert validated(schema) == value


@pytest.mark.parametrize(
    "items",
    [
        {"type": "string"},
        {"type": "string", "minLength": 40},
        {"type": "integer"},
        {"type": "integer", "minimum": 1, "maximum": 5},
        {"type": "integer", "maximum": 2},
        {"type": "number", "minimum": 1, "maximum": 2},
        {"type": "number", "maximum": 2},
        {"enum": [1, "a", None, 4, 5]},
        {"type": "object", "properties": {"a": {"type": "integer"}}},
        {"type": "array", "items": {"type": "integer"}},
    ],
)
def test_unique_items_differ(items: Any) -> None:
    schema = {"type": "array", "items": items, "minItems": 5, "uniqueItems": True}

    assert len(validated(schema)) == 5


@pytest.mark.parametrize("spelling", ["#/x/0", "#/%78/0", "#/x/%30"])
def test_recursion_ends_with_any_spelling_of_the_reference(spelling: str) -> None:
    node = {"properties": {"next": {"anyOf": [{"$ref": spelling}, {"type": "null"}]}}, "required": ["next"]}

    assert validated({"x": [node], "$ref": "#/x/0"}) == {"next": None}


def test_error_of_alternatives_is_that_of_the_first() -> None:
    with pytest.raises(InvalidRequest, match="`pattern` '\\(\\?=a\\)': look-around is not supported"):
        instance({"anyOf": [{"pattern": "(?=a)"}, False]})


def test_malformed_alternative_is_refused_even_if_another_is_satisfiable() -> None:
    with pytest.raises(InvalidRequest, match="`minimum` must be a number"):
        instance({"anyOf": [{"minimum": "1"}, {"type": "null"}]})


@pytest.mark.parametrize(
    ("wrap", "keyword"),
    [
        (lambda each: {"type": "array", "items": each, "minItems": 1}, "items"),
        (lambda each: {"anyOf": [each]}, "anyOf"),
    ],
)
def test_value_that_is_nested_too_deeply_is_refused(wrap: Callable[[Any], Any], keyword: str) -> None:
    schema: Any = {}
    for _ in range(150):
        schema = wrap(schema)

    with pytest.raises(InvalidRequest, match=f"`{keyword}`: .* deep"):
        instance(schema)
