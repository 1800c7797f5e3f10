"""Records become decisions; none of them may stop the door that reads it."""

import orjson
import pytest

from schemas.request import Lane
from store.ledger.types import Ask, Position
from streams import library
from streams.app import make_decoder, make_providers
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
