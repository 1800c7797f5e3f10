"""How long an answer may be, by who wishes it."""

import pytest

from agents.engine.room import longest
from providers.base import Able

pytestmark = pytest.mark.fast

THINKS = Able(thinks=8000, output_tokens=100_000)


@pytest.mark.parametrize(
    ("asked", "wished", "able", "tokens"),
    [
        (None, 512, Able(), 512),
        (None, 512, None, 512),  # a provider that knows nothing of its models
        (None, 512, THINKS, 8512),  # 512 for the answer
        (300, 512, THINKS, 300),  # the request's own word, thoughts included
        (None, None, THINKS, None),
        (None, 99_000, THINKS, 100_000),
        (None, 5000, Able(output_tokens=4096), 4096),
        (9000, 512, Able(output_tokens=4096), 4096),  # of a run's item, which nobody is there to mend
        (9000, None, Able(context_tokens=2048), 2048),
        (9000, None, Able(), 9000),
    ],
)
def test_a_request_has_its_word_and_a_model_that_thinks_has_room(asked, wished, able, tokens):
    assert longest(asked, wished, able) == tokens
