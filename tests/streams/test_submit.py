"""Which result is the answer to what was sent."""

from typing import Any

import pytest

from streams.submit import Sent

pytestmark = pytest.mark.fast

TOPIC = "genai.requests.summarize"
SENT = Sent(identities={("t", "summarize", "a"): "line 1"}, places={(TOPIC, 1): {7}}, records=1)


def result(generation: int, source: tuple[str, int, int] | None, id_: str = "a") -> dict[str, Any]:
    told = None if source is None else dict(zip(("topic", "partition", "offset"), source, strict=True))
    return {"tenant": "t", "operation": "summarize", "id": id_, "generation": generation, "source": told}


@pytest.mark.parametrize(
    ("found", "ours"),
    [
        (result(1, (TOPIC, 1, 7)), True),
        (result(2, (TOPIC, 1, 3)), True),  # another record with the same payload was there before
        (result(1, None), True),  # it came over HTTP before
        (result(1, (TOPIC, 1, 7), "b"), False),
        (result(0, (TOPIC, 1, 7)), True),  # our own record is a conflict
        (result(0, (TOPIC, 1, 8)), False),  # somebody else's is
        (result(0, (TOPIC, 0, 7)), False),
        (result(0, (f"{TOPIC}.batch", 1, 7)), False),
        (result(0, None), False),
    ],
)
def test_a_result_is_ours_if_it_is_about_our_request_or_our_record(found: dict[str, Any], ours: bool) -> None:
    assert SENT.is_answered_by(found) == ours
