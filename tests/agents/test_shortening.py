"""A chat that is too long: which turns are left out, and when nothing more can be."""

import pytest

from agents import shortening
from providers.calls import Message, ToolCall
from providers.errors import ContextTooLong

pytestmark = pytest.mark.fast

SYSTEM = Message("system", "s" * 48)  # 14 tokens with what is around: 48 / 4.8 + 4
CALLED = Message("assistant", "", tool_calls=(ToolCall("c", "look", "{}"),))
TOOL = Message("tool", "t" * 48, tool_call_id="c")


def user(name: str) -> Message:
    return Message("user", name * 48)


def said(name: str) -> Message:
    return Message("assistant", name * 48)


def names(turns: list[Message] | None) -> str | None:
    return None if turns is None else "".join(turn.content[:1] or "-" for turn in turns)


@pytest.mark.parametrize(
    ("turns", "part", "left"),
    [
        ([user("a"), said("b"), user("c")], 0.5, "c"),  # 42 * 0.5 = 21: one of 14
        ([user("a"), said("b"), user("c")], 0.7, "bc"),  # 29: two
        ([SYSTEM, user("a"), said("b"), user("c")], 0.6, "sc"),  # 33.6 - 14 = 19.6: one
        ([SYSTEM, user("a"), said("b"), user("c")], 0.1, "sc"),  # what must stay stays
        ([user("a"), CALLED, TOOL, said("b"), user("c")], 0.75, "bc"),  # a tool's turn never comes first
        ([user("a"), said("b"), user("c"), CALLED, TOOL], 0.9, "bc-t"),
        ([user("a"), said("b"), user("c"), CALLED, TOOL], 0.1, "c-t"),  # all from the user's last turn on
        ([SYSTEM, user("a")], 0.5, None),
        ([SYSTEM], 0.5, None),
        ([said("a"), said("b")], 0.5, None),
    ],
)
def test_which_turns_stay(turns: list[Message], part: float, left: str | None) -> None:
    assert names(shortening.shorter(turns, part)) == left


@pytest.mark.parametrize(
    ("details", "part"),
    [
        ({"prompt_tokens": 200, "context_tokens": 100}, 0.4),  # 0.8 * 100 / 200
        ({"prompt_tokens": 100, "context_tokens": 100}, 0.5),  # it fits, they say, and refuse: half
        ({"context_tokens": 100}, 0.5),
        ({}, 0.5),
    ],
)
def test_how_much_fits(details: dict[str, int], part: float) -> None:
    assert shortening.share(ContextTooLong("too long", details)) == part


async def test_it_is_asked_again_with_less_until_it_fits_and_the_result_says_so() -> None:
    asked: list[int] = []
    told: list[str] = []

    async def call(turns: object) -> int:
        count = len(list(turns))  # type: ignore[call-overload]
        asked.append(count)
        if count > 2:
            raise ContextTooLong("too long")
        return int(count)

    turns = [user("a"), said("b"), user("c"), said("d"), user("e"), said("f"), user("g")]
    assert await shortening.ask(turns, call, told.append) == 1
    assert asked == [7, 3, 1]
    assert told == ["truncated: the oldest 6 turns did not fit the model's context and were left out"]


async def test_what_never_fits_is_refused_as_the_model_refuses_it() -> None:
    async def call(_: object) -> None:
        raise ContextTooLong("too long")

    with pytest.raises(ContextTooLong):
        await shortening.ask([user("a"), said("b"), user("c")], call, lambda _: None)
