"""What a request may hold of everything that takes its time."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas import complete, request, sizes

pytestmark = pytest.mark.fast

PARTS = [{"type": "text", "text": "x"}]
CALLS = [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]


def _keys(number: int) -> dict[str, int]:
    return dict.fromkeys(map(str, range(number)), 1)


@pytest.mark.parametrize(
    ("input_", "place", "words"),
    [
        ({"messages": [{"role": "user", "content": "x"}] * 1001}, "messages", "has 1001 turns; at most 1000"),
        (
            {"messages": [{"role": "user", "content": PARTS * 2049}]},
            "messages.0.content",
            "has 2049 parts; at most 2048",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": CALLS * 2049}]},
            "messages.0.tool_calls",
            "has 2049 tool calls; at most 2048",
        ),
        ({"messages": [{"role": "user", "content": PARTS * 2000}] * 5}, "messages", "has 10000 parts and tool calls"),
        ({"prompt": "x", "params": {"logit_bias": _keys(4097)}}, "params.logit_bias", "has 4097 keys; at most 4096"),
    ],
)
def test_what_is_too_many_is_named_with_its_number(input_: dict[str, Any], place: str, words: str) -> None:
    """By its place alone: the parts themselves were not looked at."""
    with pytest.raises(ValidationError) as caught:
        complete.Input.model_validate(input_)
    (only,) = caught.value.errors()
    assert (".".join(map(str, only["loc"])), words in only["msg"]) == (place, True)


def test_metadata_are_bounded() -> None:
    with pytest.raises(ValidationError, match="has 1025 keys; at most 1024"):
        request.Request.model_validate({"input": {}, "metadata": _keys(1025)})


def test_what_is_not_too_many_is_taken() -> None:
    turns = [{"role": "user", "content": PARTS * 2048}] * 4
    biases = {"logit_bias": _keys(sizes.MOST_BIASES)}
    found = complete.Input.model_validate({"messages": turns, "params": biases})
    assert len(found.messages or ()) == 4
