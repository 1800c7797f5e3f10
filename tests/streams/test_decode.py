"""Records become decisions; none of them may stop the door that reads it."""

from typing import Any

import orjson
import pytest

from schemas.request import Lane, Request
from store.ledger.types.arrivals import Ask
from store.ledger.types.records import Position
from streams import library
from streams.configured import make_decoder
from streams.decode import TOO_DEEP
from streams.providing import make_providers
from tests.parts.kafka import make_settings

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("depth", [300, 600, 1000])
@pytest.mark.parametrize(
    ("operation", "input_"),
    [
        ("execute_prompt", '{"prompt": "extract_data", "variables": {"content": "x", "schema": %s}}'),
        ("complete", '{"prompt": "x", "unknown": %s}'),
    ],
)
def test_a_record_nested_too_deeply_is_an_invalid_request(operation: str, input_: str, depth: int) -> None:
    settings = make_settings(default_provider="fake")
    decoder = make_decoder(settings, make_providers(settings), library.load(settings))
    nested = input_.replace("%s", "[" * depth + "]" * depth)
    value = f'{{"id": "a", "input": {nested}}}'.encode()
    assert orjson.loads(value)["id"] == "a"
    found = decoder.record(operation, Lane.NORMAL, Position("t", 0, 0, 1), value, [])
    assert isinstance(found, Ask)
    assert (found.id, found.failure and found.failure.message) == ("a", TOO_DEEP)


@pytest.mark.parametrize(
    ("bind", "topic", "named", "headers", "tenant", "refused"),
    [
        (False, "t", "b", [], "b", False),  # believed
        (True, "t", "b", [], "a", True),
        (True, "t", None, [("genai-tenant", b"b")], "a", True),
        (True, "t", "a", [], "a", False),
        (True, "t", None, [], "a", False),
        (True, "other", "b", [], "b", False),  # nobody's topic
    ],
)
def test_a_topic_that_is_bound_to_a_tenant_is_no_others(
    bind: bool, topic: str, named: str | None, headers: list[tuple[str, bytes]], tenant: str, refused: bool
) -> None:
    settings = make_settings(default_provider="fake", tenants={"t": "a"}, tenants_bind=bind)
    decoder = make_decoder(settings, make_providers(settings), library.load(settings))
    value = orjson.dumps({"id": "x", "input": {"content": "One."}, **({"tenant": named} if named else {})})
    found = decoder.record("summarize", Lane.NORMAL, Position(topic, 0, 0, 1), value, headers)
    assert isinstance(found, Ask)
    assert (found.id, found.tenant, found.failure is not None) == ("x", tenant, refused)


def _decoded(value: bytes, operation: str = "summarize", headers: Any = ()) -> Any:
    settings = make_settings(default_provider="fake")
    decoder = make_decoder(settings, make_providers(settings), library.load(settings))
    return decoder.record(operation, Lane.NORMAL, Position("t", 0, 0, 1), value, headers)


@pytest.mark.parametrize("place", ["metadata", "unknown", "options"])
@pytest.mark.parametrize(("levels", "fits"), [(198, True), (199, False), (300, False)])
def test_every_part_of_a_record_is_bounded_and_what_is_taken_can_be_read_again(
    place: str, levels: int, fits: bool
) -> None:
    nested = "[" * levels + "]" * levels
    value = f'{{"id": "a", "input": {{"content": "x"}}, "{place}": {{"x": {nested}}}}}'.encode()
    found = _decoded(value)
    assert (found.id, found.failure is None) == ("a", fits)
    if fits:
        Request.model_validate_json(value)
    else:
        assert found.failure.message == TOO_DEEP


def test_an_invalid_record_nested_too_deeply_is_answered_under_its_id() -> None:
    found = _decoded(b'{"id": "a", "input": {"content": 5}, "metadata": {"x": ' + b"[" * 300 + b"]" * 300 + b"}}")
    assert (found.id, found.metadata, found.failure.type) == ("a", {}, "invalid_request")


def test_a_byte_order_mark_is_named_and_the_id_behind_it_answered() -> None:
    found = _decoded(b'\xef\xbb\xbf{"id": "a", "input": {"content": "x"}}')
    assert (found.id, found.unreadable) == ("a", True)
    assert "byte order mark" in found.failure.message


@pytest.mark.parametrize(
    ("categories", "told"),
    [
        (
            '"a,b"',
            "`input.categories`: Input should be a valid list; `input.categories`: Input should be a valid dictionary",
        ),
        ('{"a": null}', "`input.categories.a`: Input should be a valid string"),
        ('["a", " "]', "`input.categories.1`: is blank; send the text to work on"),
    ],
)
def test_of_several_types_the_one_that_was_meant_is_told_of(categories: str, told: str) -> None:
    found = _decoded(f'{{"input": {{"content": "x", "categories": {categories}}}}}'.encode(), "classify")
    assert found.failure.message == told


def test_options_that_are_none_are_said_to_be_no_object() -> None:
    assert (
        _decoded(b'{"input": {"content": "x"}, "options": null}').failure.message
        == "`options`: Input should be an object"
    )
