"""What a Claude model takes, read off its name; and schemas as its structured output takes them."""

import jsonschema_rs
import pytest

from providers.claude import UNKNOWN, Claude, claude, told
from providers.claude_schema import fitted

pytestmark = pytest.mark.fast

MODELS = [  # name, sampling, json_schema, forced tool, thinking, how it is turned off, context, longest answer
    ("claude-3-haiku-20240307", True, False, True, None, "disabled", 200_000, 4096),
    ("claude-3-5-sonnet-20241022", True, False, True, None, "disabled", 200_000, 8192),
    (
        "claude-sonnet-4-20250514",
        True,
        False,
        True,
        "budget",
        "disabled",
        200_000,
        64_000,
    ),  # 20250514 is no minor version
    ("claude-opus-4-1-20250805", True, False, True, "budget", "disabled", 200_000, 32_000),
    ("us.anthropic.claude-haiku-4-5-20251001-v1:0", True, True, True, "budget", "disabled", 200_000, 64_000),
    ("anthropic.claude-opus-4-6-v1", True, True, True, "adaptive", "disabled", 1_000_000, 128_000),
    ("claude-opus-4-7", False, True, True, "adaptive", "disabled", 1_000_000, 128_000),
    ("claude-sonnet-5", False, True, True, "adaptive", "disabled", 1_000_000, 128_000),
    ("claude-sonnet-5-5", False, True, False, "adaptive", "between_tools", 1_000_000, 128_000),
    ("claude-opus-5-5", False, True, False, "adaptive", None, 1_000_000, 128_000),
    ("claude-haiku-5-5", False, True, None, "adaptive", "disabled", 1_000_000, 128_000),
    ("claude-fable-5-1", False, True, False, "adaptive", None, 1_000_000, 128_000),
    ("claude-mythos-preview", False, True, True, "adaptive", None, 1_000_000, 128_000),
    ("smollm2-135m", None, False, None, None, None, None, None),  # some server's: it is tried
]


@pytest.mark.parametrize("row", MODELS, ids=[row[0] for row in MODELS])
def test_a_name_tells_what_the_model_takes(row):
    known = claude(row[0])
    told = (known.sampling, known.formats, known.forced, known.thinking, known.off)
    assert (row[0], *told, known.context_tokens, known.output_tokens) == row


def test_what_the_list_of_models_says_goes_before_the_name():
    info = {"max_input_tokens": 2000, "max_tokens": 100, "capabilities": {"structured_outputs": {"supported": False}}}
    known = told(claude("claude-sonnet-5-5"), info)
    assert (known.context_tokens, known.output_tokens, known.formats, known.images) == (2000, 100, False, True)
    assert told(UNKNOWN, {}) == UNKNOWN == Claude()


CLOSED = {"additionalProperties": False}
FIT = [  # a schema, and what is sent
    (
        {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}, "required": ["age"]},
        {
            "type": "object",
            "properties": {"age": {"type": "integer", "description": "(minimum: 0)"}},
            "required": ["age"],
            **CLOSED,
        },
    ),
    ({"type": "array", "items": {"type": "string"}, "minItems": 1}, None),
    (
        {"type": "array", "minItems": 2, "items": {"type": "string", "format": "date", "description": "a day"}},
        {
            "description": "(minItems: 2)",
            "type": "array",
            "items": {"type": "string", "format": "date", "description": "a day"},
        },
    ),
    (
        {"type": ["string", "null"], "enum": ["a", None]},
        {"anyOf": [{"enum": ["a"], "type": "string"}, {"type": "null"}]},
    ),
    ({"oneOf": [{"type": "string"}, {"const": 3}]}, {"anyOf": [{"type": "string"}, {"const": 3}]}),
    (
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "boolean", "$comment": "x"}}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "boolean"}}},
    ),
    (
        {"type": "object", "properties": {"default": {"type": "string"}, "title": {"type": "null"}}},
        {"type": "object", "properties": {"default": {"type": "string"}, "title": {"type": "null"}}, **CLOSED},
    ),
    ({"type": "object", "properties": {}, **CLOSED}, {"type": "object", "properties": {}, **CLOSED}),
]


@pytest.mark.parametrize(("schema", "sent"), FIT)
def test_a_schema_is_said_in_claudes_part_of_the_language(schema, sent):
    assert fitted(schema) == (schema if sent is None else sent)


UNFIT = [
    {},
    {"type": "object"},  # any keys
    {"type": "object", "additionalProperties": {"type": "string"}},
    {"type": "object", "properties": {"x": {}}},
    {"type": "object", "properties": {"x": True}},
    {"type": "array"},
    {"type": "array", "prefixItems": [{"type": "string"}]},
    {"allOf": [{"type": "string"}]},
    {"enum": [{"a": 1}]},
    {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["b"]},
    {"$ref": "https://example.org/schema.json"},
    {"$ref": "#/$defs/Missing"},
    {"$ref": "#/$defs/Tree", "$defs": {"Tree": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}},
    {"type": "string", "$defs": {"A": {"$ref": "#/$defs/A"}}},
]


@pytest.mark.parametrize("schema", UNFIT, ids=str)
def test_what_cannot_be_said_is_not_half_said(schema):
    assert fitted(schema) is None


def test_a_deep_schema_ends_in_a_refusal_and_one_with_many_ways_to_a_definition_is_walked_once():
    deep = {"type": "string"}
    for _ in range(5000):
        deep = {"type": "array", "items": deep}
    assert fitted(deep) is None
    wide = {f"D{i}": {"anyOf": [{"$ref": f"#/$defs/D{i + 1}"}] * 2} for i in range(60)} | {"D60": {"type": "null"}}
    assert fitted({"$ref": "#/$defs/D0", "$defs": wide}) is not None


@pytest.mark.parametrize("value", [{"age": 3}, {"age": 3, "more": 1}, {}])
def test_an_instance_of_what_is_sent_is_one_of_what_was_asked_for(value):
    """But for bounds, which only the description says."""
    asked = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    sent = fitted(asked)
    assert sent is not None
    assert not jsonschema_rs.is_valid(sent, value) or jsonschema_rs.is_valid(asked, value)
