"""Records become decisions; none of them may stop the door that reads it."""

import orjson
import pytest

from schemas.request import Lane
from store.ledger.types.arrivals import Ask
from store.ledger.types.records import Position
from streams import library
from streams.configured import make_decoder, make_providers
from streams.decode import TOO_DEEP
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
