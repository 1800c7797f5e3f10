"""A user's JSON Schema is checked before anything is paid, and never fetches anything."""

import pytest

from agents import user_schema
from agents.base import InvalidInput

pytestmark = pytest.mark.fast


def _deep(levels):
    schema = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


BROKEN = [
    ({"type": "colour"}, "is not a JSON Schema at 'type'"),
    ({"properties": 3}, "is not a JSON Schema at 'properties'"),
    ({"$ref": "http://127.0.0.1:9/x.json"}, "refers to 'http://127.0.0.1:9/x.json'"),
    ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "refers to 'file:///etc/passwd'"),
    ({"$ref": "#/$defs/missing"}, "is not a JSON Schema"),
    ({"$schema": "http://example.invalid/draft"}, "is not a JSON Schema"),
    ({"pattern": "("}, "is not a JSON Schema"),
    ({"pattern": "(?=a)b"}, "is not a JSON Schema"),  # look-around: not on a linear engine
    (_deep(40), "is nested deeper than 32 levels"),
    ({"enum": ["x" * 70_000]}, "bytes; at most 64000"),
]


@pytest.mark.parametrize(("schema", "said"), BROKEN, ids=[said[:40] for _, said in BROKEN])
def test_a_broken_schema_is_an_invalid_request_with_its_reason(schema, said):
    with pytest.raises(InvalidInput) as caught:
        user_schema.check(schema, "schema")
    assert (caught.value.failure.type, caught.value.failure.details) == ("invalid_request", {"field": "schema"})
    assert said in str(caught.value)


SOUND = [
    None,
    {},
    {"type": "object", "properties": {"$ref": {"type": "string"}}},
    {"$ref": "#"},  # refers to itself: harmless, and accepts anything
    {"$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"},
    {"type": "string", "pattern": "^(a+)+$"},
]


@pytest.mark.parametrize("schema", SOUND, ids=repr)
def test_a_sound_schema_passes(schema):
    user_schema.check(schema, "schema")


def test_an_answer_that_does_not_fit_names_the_places():
    accept = user_schema.acceptor({"type": "object", "properties": {"n": {"type": "integer"}}}, "schema")
    with pytest.raises(ValueError, match='n: "x" is not of type "integer"'):
        accept({"n": "x"})
