"""complete: messages or a bare prompt, answered as the model answers, `n` times."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from agents import shortening, structured, user_schema
from agents.base import Caller, More, Operation
from providers import able, tokens
from providers.calls import ChatAnswer, ChatCall, Forced, Image, Kept, Message, Tool, ToolCall
from schemas.chat import Choose, Turn
from schemas.complete import Choice, Input, Output

MAX_TOKENS = 512
"""For a request that names none and is not `whole`: a model that does not stop by itself is cut here; `finish_reason` says so."""
_SEEDS = 2**31


def check(asked: Input) -> None:
    """Refuses a broken `output_schema`."""
    user_schema.check(asked.output_schema, "output_schema")


async def complete(asked: Input, caller: Caller) -> Output:
    """One call per choice, one after the other: a request holds one slot. The i-th has the seed `seed + i`."""
    turns = messages(asked)
    more = _more(asked)
    choices = []
    for index in range(asked.n):
        seed = None if asked.seed is None else (asked.seed + index) % _SEEDS
        choices.append(await _chosen(asked, caller, turns, replace(more, seed=seed)))
    return Output(**choices[0].model_dump(), choices=choices if asked.n > 1 else None)


def messages(asked: Input) -> list[Message]:
    """The chat in the words of the providers' port."""
    if asked.messages is None:
        return [Message("user", asked.prompt or "")]
    places: dict[int, list[Kept]] = defaultdict(list)
    for each in asked.keep:
        if each.turn is not None:
            places[each.turn].append(Kept(each.block, each.ttl or ""))
    return [_message(turn, tuple(places.get(i, ())), apart=bool(asked.keep)) for i, turn in enumerate(asked.messages)]


def _message(turn: Turn, kept: tuple[Kept, ...], *, apart: bool) -> Message:
    """`apart`: texts stay in their blocks, in turns without a mark as well. What is kept is found again block by block, and the
    mark moves on from turn to turn.
    """
    parts: tuple[str | Image, ...] = ()
    if isinstance(turn.content, list):
        parts = tuple(
            part.text if part.type == "text" else Image(part.image_url.url, part.image_url.detail)
            for part in turn.content
        )
        text = "\n".join(part for part in parts if isinstance(part, str))
    else:
        text = turn.content or ""
    calls = tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in turn.tool_calls or ())
    role = "system" if turn.role == "developer" else turn.role
    whole = all(isinstance(part, str) for part in parts) and (len(parts) < 2 or not apart)
    return Message(role, text, () if whole else parts, calls, turn.tool_call_id, turn.name, kept)


def _more(asked: Input) -> More:
    kept = {each.tool: each.ttl or "" for each in asked.keep}
    tools = tuple(
        Tool(each.function.name, each.function.description, each.function.parameters, each.function.strict, kept.get(i))
        for i, each in enumerate(asked.tools or ())
    )
    choice = asked.tool_choice
    return More(
        stop=tuple(asked.stop),
        json_mode=asked.json_object,
        tools=tools,
        tool_choice=Forced(choice.function.name) if isinstance(choice, Choose) else choice,
        parallel_tool_calls=asked.parallel_tool_calls,
        logprobs=asked.logprobs,
        params=asked.params.told(),
    )


async def _chosen(asked: Input, caller: Caller, turns: list[Message], more: More) -> Choice:
    if not asked.truncate:
        return await _choice(asked, caller, turns, more)
    return await shortening.ask(turns, lambda fewer: _choice(asked, caller, fewer, more), caller.warn)


async def _choice(asked: Input, caller: Caller, turns: Sequence[Message], more: More) -> Choice:
    schema, most = asked.output_schema, None if asked.whole else MAX_TOKENS
    if schema is None or not asked.repair or asked.tools:
        answer = await caller.chat(turns, schema=schema, max_tokens=most, more=more)
        return _told(answer, None if schema is None else _parsed(answer.text))
    question = structured.Question(turns, schema, user_schema.acceptor(schema, "output_schema"), most, more=more)
    answered = await structured.ask(caller, question)
    return _told(answered.answer, answered.value)


def _parsed(text: str) -> Any:
    """None where it is no JSON: the answer is shown as it came."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _told(answer: ChatAnswer, parsed: Any) -> Choice:
    return Choice(
        content=answer.text,
        parsed=parsed,
        tool_calls=[
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.tool_calls
        ],
        refusal=answer.refusal,
        reasoning=answer.reasoning,
        logprobs=None if answer.logprobs is None else list(answer.logprobs),
        finish_reason=answer.finish_reason,
    )


def wants(asked: Input) -> list[str]:
    """As its call will say it."""
    more = _more(asked)
    return able.wants(replace(prompt(asked, "", 0.0), tool_choice=None, logprobs=more.logprobs, params=more.params))


def prompt(asked: Input, model: str, timeout_s: float) -> ChatCall:
    """What a model would read of it: the chat, the tools, the schema."""
    more = _more(asked)
    return ChatCall(
        model,
        tuple(messages(asked)),
        timeout_s,
        schema=asked.output_schema,
        json_mode=more.json_mode,
        tools=more.tools,
        tool_choice=more.tool_choice,
    )


def length(asked: Input) -> int | None:
    """The chat's tokens, guessed; images are not counted. None: what is too long is left out."""
    if asked.truncate:
        return None
    return sum(tokens.estimate(turn.content) for turn in messages(asked))


OPERATION = Operation(
    "complete",
    Input,
    Output,
    complete,
    check=check,
    own_wording=True,
    wants=wants,
    tokens=length,
    wordings=(structured.REPAIR,),
)
