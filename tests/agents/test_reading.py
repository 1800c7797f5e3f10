"""Content above the context is read whole, part by part, with the same calls each time."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import reading
from agents.base import OperationError
from agents.reading import LEAST_ROOM, MOST_PARTS, Space, read
from providers import tokens
from providers.errors import ContextTooLong

pytestmark = pytest.mark.fast

TEXT = "Sales rose by three percent in the north. " * 300  # about 2350 tokens


class Model:
    """Refuses what is above its context, as a provider does; `scale`: its tokens for one that is guessed."""

    def __init__(self, context: int, *, scale: float = 1.0, tells: bool = True) -> None:
        self.context, self.scale, self.tells = context, scale, tells
        self.read: list[str] = []
        self.refused = 0

    async def ask(self, text: str) -> int:
        size = round(tokens.weigh(text) * self.scale) + 20
        if size > self.context:
            self.refused += 1
            figures = {"prompt_tokens": size, "context_tokens": self.context} if self.tells else {}
            raise ContextTooLong("too long", figures)
        self.read.append(text)
        return len(self.read)


def space(context: int | None) -> Space:
    return Space(context, around=lambda: 20, answer=100)


async def test_what_fits_is_asked_for_at_once():
    model = Model(4000)
    done = await read(TEXT, model.ask, space(4000))
    assert ([each.part.text for each in done], model.read) == ([TEXT], [TEXT])


async def test_a_known_context_is_never_exceeded():
    model = Model(500)
    done = await read(TEXT, model.ask, space(500))
    assert (model.refused, "".join(each.part.text for each in done), len(done) > 5) == (0, TEXT, True)


@given(
    text=st.text(alphabet="aé. \n中9", min_size=1, max_size=2000).filter(str.strip),
    context=st.integers(150, 400),
    scale=st.floats(0.5, 3),
    tells=st.booleans(),
    known=st.booleans(),
)
def test_everything_is_read_in_order_whatever_the_guess_and_the_same_way_again(text, context, scale, tells, known):
    model, again = Model(context, scale=scale, tells=tells), Model(context, scale=scale, tells=tells)
    given_space = space(context if known else None)
    done = asyncio.run(read(text, model.ask, given_space))
    asyncio.run(read(text, again.ask, given_space))
    assert [each.part.text for each in done] == model.read == again.read
    position = 0
    for found in (each.part for each in done):
        assert not text[position : found.start].strip()  # only what is blank is left out
        assert text[found.start : found.start + len(found.text)] == found.text
        position = found.start + len(found.text)
    assert not text[position:].strip()


async def test_after_a_refusal_what_was_read_is_not_read_again():
    """The second half has twice as many tokens as guessed."""
    model = Model(600)

    async def ask(text):
        model.scale = 2.2 if "中" in text else 1.0
        return await model.ask(text)

    text = TEXT[:4200] + "中国政府 " * 400
    done = await read(text, ask, space(600))
    assert (model.refused > 0, "".join(model.read), len(model.read)) == (True, text, len(done))


@pytest.mark.parametrize("context", [500, None])
async def test_too_many_parts_are_refused_with_both_figures_before_the_first_call(context):
    model = Model(500)
    with pytest.raises(OperationError, match=f"and {MOST_PARTS} are the most") as caught:
        await read(TEXT * 10, model.ask, space(context))
    failure = caught.value.failure
    figures = failure.details
    assert (failure.type, model.read, figures["context_tokens"]) == ("context_too_long", [], 500)
    assert str(figures["parts"]) in failure.message
    assert figures["parts"] > figures["most_parts"] == MOST_PARTS
    assert figures["prompt_tokens"] > 20_000


async def test_five_megabytes_are_refused_in_no_time():
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(OperationError):
        await read("word " * 1_000_000, Model(500).ask, space(500))
    assert loop.time() - begun < 0.5


async def test_a_refusal_that_smaller_parts_cannot_help_is_the_providers_own():
    refusal = ContextTooLong("the instructions alone are too long", {"prompt_tokens": 9000, "context_tokens": 500})

    async def ask(_text):
        raise refusal

    for text, known in (("A short text.", 500), (TEXT, 500), (TEXT, None)):
        with pytest.raises(ContextTooLong) as caught:
            await read(text, ask, space(known))
        assert caught.value is refusal


async def test_instructions_that_fill_the_context_are_left_to_the_provider_to_refuse():
    model = Model(100)
    assert Space(100, around=lambda: 90, answer=10).room() < LEAST_ROOM  # type: ignore[operator]
    with pytest.raises(ContextTooLong):
        await read(TEXT, model.ask, Space(100, around=lambda: 90, answer=10))


def test_the_warning_says_how_many_parts():
    assert reading.in_parts(7) == "the content is longer than the model's context and was read in 7 parts"
