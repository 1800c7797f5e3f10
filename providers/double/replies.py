"""What a double says to a call of the port: text, tool calls, thoughts and log probabilities, the same each time.

With tools it answers in words, unless its last user's turn holds `[fake:tool:NAME]` (several: several calls at once) or
`[fake:tools:2]`, or the call forces one; once the results of tools are there, it answers in words again. Tokens are words; a
picture counts as `IMAGE_TOKENS`.
"""

import re
from typing import Any

import orjson

from providers.calls import ChatAnswer, ChatCall, Delta, Forced, Image, Spent, Tool, ToolCall
from providers.double import answers
from providers.double.faults import Plan, chance
from providers.double.instance import Source, instance

IMAGE_TOKENS = 100
TOOL = re.compile(r"\[fake:tool:([A-Za-z0-9_-]{1,64})\]")
_THOUGHT = 8
"""Words."""
REFUSAL = "I'm sorry, I can't help with that."


def count(call: ChatCall) -> int:
    """The tokens of the prompt."""
    pictures = sum(isinstance(part, Image) for message in call.messages for part in message.parts)
    return answers.count(tuple(message.content for message in call.messages)) + pictures * IMAGE_TOKENS


def reply(call: ChatCall, seed: int, fate: Plan) -> ChatAnswer:
    """The whole answer. `spent` has no time in it: that is the double's own."""
    texts = tuple(message.content for message in call.messages)
    thought = _thought(call, seed, always=fate.reasoning)
    if fate.refusal:
        return ChatAnswer("", "stop", Spent(count(call), len(REFUSAL.split())), refusal=REFUSAL, reasoning=thought)
    calls = _calls(call, seed, fate.tools)
    if calls:
        words = sum(len(each.arguments.split()) + 1 for each in calls)
        return ChatAnswer("", "tool_calls", Spent(count(call), words), tool_calls=calls, reasoning=thought)
    said = answers.answer(
        texts,
        schema={"type": "object"} if call.json_mode and call.schema is None else call.schema,
        seed=(seed, call.seed),
        max_tokens=call.max_tokens,
        stop=call.stop,
        cut=fate.cut or fate.filtered,
        gibberish=fate.gibberish,
    )
    return ChatAnswer(
        said.text,
        "content_filter" if fate.filtered else "length" if said.cut else "stop",
        Spent(count(call), said.tokens),
        reasoning=thought,
        logprobs=None if call.logprobs is None else _logprobs(said.text, call.logprobs, seed),
    )


def deltas(answer: ChatAnswer) -> list[Delta]:
    """The answer in the pieces of a stream; a tool's arguments come after its name."""
    thoughts = [Delta(reasoning=piece) for piece in answers.pieces(answer.reasoning or "")]
    words = answers.pieces(answer.text)
    likely = answer.logprobs
    texts = [Delta(word, logprobs=() if likely is None else (likely[at],)) for at, word in enumerate(words)]
    texts += [Delta(refusal=piece) for piece in answers.pieces(answer.refusal or "")]
    calls = [
        Delta(tool_calls=((index, piece),))
        for index, call in enumerate(answer.tool_calls)
        for piece in (ToolCall(call.id, call.name, ""), *(ToolCall("", "", part) for part in _halves(call.arguments)))
    ]
    return [delta for delta in (*thoughts, *texts, *calls) if delta != Delta()]


def _halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


def _calls(call: ChatCall, seed: int, wanted: int) -> tuple[ToolCall, ...]:
    last = call.messages[-1] if call.messages else None
    if not call.tools or call.tool_choice == "none" or last is None or last.role == "tool":
        return ()
    tools = {tool.name: tool for tool in call.tools}
    if isinstance(call.tool_choice, Forced):
        names = [call.tool_choice.name]
    else:
        names = [name for name in TOOL.findall(last.content) if name in tools]
        names += [call.tools[number % len(call.tools)].name for number in range(wanted)]
        names = names or ([call.tools[0].name] if call.tool_choice == "required" else [])
    if call.parallel_tool_calls is False:
        names = names[:1]
    text = answers.content(last.content)
    return tuple(_call(tools[name], text, (seed, call.seed, index)) for index, name in enumerate(names))


def _call(tool: Tool, text: str, seed: object) -> ToolCall:
    made = instance(tool.parameters or {"type": "object"}, Source(text, seed))
    number = int(chance(seed, "call", tool.name, text) * 2**52)
    return ToolCall(f"call_{number:013x}", tool.name, orjson.dumps(made).decode())


def _thought(call: ChatCall, seed: int, *, always: bool) -> str | None:
    effort = call.params.get("reasoning_effort", "none")
    if not call.messages or (effort == "none" and not always):
        return None
    source = Source(answers.content(call.messages[-1].content), (seed, "thought"))
    return f"This is about: {source.phrase(_THOUGHT)}"


def _logprobs(text: str, most: int, seed: int) -> tuple[dict[str, Any], ...]:
    return tuple(_logprob(index, word, most, seed) for index, word in enumerate(answers.pieces(text)))


def _logprob(index: int, word: str, most: int, seed: int) -> dict[str, Any]:
    first = -chance(seed, "logprob", index, word)
    others = [_likely(f"{word.strip()}{rank} ", first - rank) for rank in range(1, most)]
    return _likely(word, first) | {"top_logprobs": [_likely(word, first), *others][:most]}


def _likely(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": round(logprob, 6), "bytes": list(token.encode(errors="replace"))}
