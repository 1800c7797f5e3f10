"""complete: messages or a bare prompt, answered as the model answers, `n` times."""

from collections.abc import Sequence

from agents import structured, user_schema
from agents.base import Caller, Operation
from providers.base import Message
from schemas.complete import Choice, Input, Output

MAX_TOKENS = 512
"""For a request that names none: a model that does not stop by itself is cut here, and `finish_reason` says so."""
_SEEDS = 2**31


def check(asked: Input) -> None:
    """Refuses a broken `output_schema`."""
    user_schema.check(asked.output_schema, "output_schema")


async def complete(asked: Input, caller: Caller) -> Output:
    """One call per choice, one after the other: a request holds one slot. The i-th has the seed `seed + i`."""
    turns = [Message(turn.role, turn.content) for turn in asked.messages or []]
    turns = turns or [Message("user", asked.prompt or "")]
    choices = []
    for index in range(asked.n):
        seed = None if asked.seed is None else (asked.seed + index) % _SEEDS
        choices.append(await _choice(asked, caller, turns, seed))
    first = choices[0]
    return Output(
        content=first.content,
        parsed=first.parsed,
        finish_reason=first.finish_reason,
        choices=choices if asked.n > 1 else None,
    )


async def _choice(asked: Input, caller: Caller, turns: Sequence[Message], seed: int | None) -> Choice:
    if asked.output_schema is None:
        answer = await caller.chat(turns, max_tokens=MAX_TOKENS, stop=asked.stop, seed=seed)
        return Choice(content=answer.text, finish_reason=answer.finish_reason)
    answered = await structured.ask(
        caller,
        structured.Question(
            turns,
            asked.output_schema,
            user_schema.acceptor(asked.output_schema, "output_schema"),
            MAX_TOKENS,
            stop=asked.stop,
            seed=seed,
        ),
    )
    return Choice(content=answered.text, parsed=answered.value, finish_reason=answered.finish_reason)


OPERATION = Operation("complete", Input, Output, complete, check=check, own_wording=True)
