"""What servers say that they counted."""

from typing import Any

import orjson
import pytest

from providers import anthropic_reply, bedrock_reply, counted, ollama_wire, openai_wire
from providers.calls import ChatCall, Spent

pytestmark = pytest.mark.fast

NO_COUNTS = [None, -3, "5", 5.5, 1e20, True, 2**31, [5]]


@pytest.mark.parametrize(("told", "count"), [(0, 0), (2**31 - 1, 2**31 - 1), *((each, None) for each in NO_COUNTS)])
def test_a_count_is_a_whole_number_that_the_ledger_can_hold(told: Any, count: int | None) -> None:
    assert counted.count(told) == count


@pytest.mark.parametrize(
    ("told", "total"), [((), 0), ((5, None), 5), ((5, -1), None), ((2**30, 2**30), None), ((1, 2, 3), 6)]
)
def test_a_total_is_a_count_too(told: tuple[Any, ...], total: int | None) -> None:
    assert counted.total(*told) == total


@pytest.mark.parametrize("wrong", NO_COUNTS[1:])
def test_no_provider_is_believed_what_is_no_count(wrong: Any) -> None:
    """What there is beside it is kept where the provider tells them apart; OpenAI's is guessed from the text."""
    ollama = ollama_wire.spent({"prompt_eval_count": 7, "eval_count": wrong, "prompt_eval_duration": -1})
    claude = anthropic_reply.spent({"input_tokens": 7, "cache_read_input_tokens": wrong, "output_tokens": 2})
    openai = openai_wire.known_spent({"usage": {"prompt_tokens": wrong, "completion_tokens": 2}})
    said = {"output": {"message": {"content": []}}, "stopReason": "end_turn", "usage": {"inputTokens": wrong}}
    bedrock = bedrock_reply.read_chat(orjson.dumps(said), bedrock_reply.Sent({}, tool=True)).spent
    assert (ollama, claude, openai, bedrock) == (
        Spent(7, 0, estimated=True),
        Spent(0, 2, estimated=True),
        None,
        Spent(estimated=True),
    )


def test_an_answer_whose_count_is_none_is_guessed() -> None:
    reply = {
        "choices": [{"message": {"content": "They are red."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": -4},
    }
    spent = openai_wire.read_chat(orjson.dumps(reply), ChatCall("m", (), 1.0), "x").spent
    assert (spent.estimated, spent.output_tokens > 0) == (True, True)
