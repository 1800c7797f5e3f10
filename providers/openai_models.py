"""What OpenAI's models can do, by the family in their name; a name of no known family: nothing is known, and a call may try.

Facts and their sources, looked up in November 2026:
- Models that think (o1 and later, gpt-5 and later but gpt-5-chat) take `max_completion_tokens` for `max_tokens`, and no penalties,
  no `logit_bias`; no temperature but 1, no `top_p` and no log probabilities, except gpt-5.1 up to gpt-6 while their
  `reasoning_effort` is `none`: OpenAI's guides "Reasoning" and "Using GPT-5.1: parameter compatibility", and the same rules in
  vercel/ai, `packages/openai/src/openai-language-model-capabilities.ts`. o1-preview and o1-mini have neither tools nor schemas.
- `stop` is not for o3 and o4-mini: OpenAI's API reference of chat completions.
- Schemas since gpt-4o (not its first version); images since gpt-4-turbo, not for o1-mini and o3-mini: "Structured outputs", "Images".
- What is thought counts against the longest answer: the guide "Reasoning", which leaves 25,000 tokens for it; a third of that does for
  tasks as small as ours.
- The flex tier: o3, o4-mini, and gpt-5 and later but their chat and codex models: OpenAI's guide "Flex processing" and the prices of
  that tier in genai-prices 0.2.3.
- Contexts: genai-prices 0.2.3, `context_window`; longest answers: the models' own pages. Not said here: not known for sure.
"""

import functools
import re
from dataclasses import replace

from providers.base import Able

_COMMON = frozenset({"service_tier", "prompt_cache_key", "user"})
_SAMPLING = frozenset({"top_p", "frequency_penalty", "presence_penalty", "logit_bias"})
_THINKING = _COMMON | {"reasoning_effort"}
UNKNOWN = Able(params=_COMMON | _SAMPLING | {"reasoning_effort", "verbosity", "dimensions"})

_PLAIN = Able(chat=True, embed=False, schema=True, tools=True, images=True, logprobs=True, params=_COMMON | _SAMPLING)
_THINKS = Able(
    chat=True,
    embed=False,
    schema=True,
    tools=True,
    images=True,
    logprobs=False,
    temperature=False,
    params=_THINKING,
    thinks=8192,
)
_EMBEDS = Able(chat=False, embed=True, schema=False, tools=False, images=False, logprobs=False, context_tokens=8192)
_MODERATES = replace(_EMBEDS, embed=False, context_tokens=None, moderates=True)
_DIMENSIONS = replace(_EMBEDS, params=frozenset({"dimensions", "user"}))


def _sized(able: Able, context: int, output: int | None = None) -> Able:
    return replace(able, context_tokens=context, output_tokens=output)


_NAMED: tuple[tuple[str, Able], ...] = (
    (r"gpt-4o-(audio|realtime|transcribe|mini-(audio|realtime|transcribe|tts)).*", UNKNOWN),
    (r"gpt-4o(-mini)?-search.*", replace(_sized(_PLAIN, 128_000, 16_384), temperature=False, logprobs=None)),
    (r"gpt-4o-2024-05-13", replace(_sized(_PLAIN, 128_000, 4_096), schema=False)),
    (r"gpt-4o(-.*)?|chatgpt-4o-latest", _sized(_PLAIN, 128_000, 16_384)),
    (r"gpt-4\.1(-.*)?", _sized(_PLAIN, 1_047_576, 32_768)),
    (r"gpt-4\.5(-.*)?", _PLAIN),
    (r"gpt-4-(turbo.*|.*vision.*|1106.*|0125.*)", replace(_sized(_PLAIN, 128_000, 4_096), schema=False)),
    (r"gpt-4(-0\d\d\d)?", replace(_sized(_PLAIN, 8_192), schema=False, images=False)),
    (r"gpt-3\.5-turbo(-(0125|1106|16k))?", replace(_sized(_PLAIN, 16_385, 4_096), schema=False, images=False)),
    (r"gpt-5-chat(-.*)?", replace(_sized(_PLAIN, 128_000, 16_384), tools=None, schema=None)),
    (r"o1-(mini|preview)(-.*)?", replace(_sized(_THINKS, 128_000), schema=False, tools=False, images=False)),
    (r"o3-mini(-.*)?", replace(_sized(_THINKS, 200_000, 100_000), images=False)),
    (r"(o3|o4-mini)(-20.*)?", replace(_sized(_THINKS, 200_000, 100_000), stop=False)),
    (r"o\d+(-20.*)?", _sized(_THINKS, 200_000, 100_000)),
    (r"gpt-5(-(mini|nano))?(-20.*)?", replace(_sized(_THINKS, 400_000, 128_000), params=_THINKING | {"verbosity"})),
    (r"gpt-[5-9]\.?.*-(audio|image|realtime|transcribe|tts|live)(-.*)?", UNKNOWN),
    (r"gpt-5-.*|gpt-[6-9].*", replace(_THINKS, params=_THINKING | {"verbosity"})),
    (r"text-embedding-3-(small|large)", _DIMENSIONS),
    (r"(omni|text)-moderation(-.*)?", _MODERATES),
    (r"text-embedding-ada-002", replace(_EMBEDS, params=frozenset({"user"}))),
)
"""A pattern of the whole name, and what such models can do; the first that fits says it."""

_TABLE = tuple((re.compile(pattern), able) for pattern, able in _NAMED)
_MAY_NOT_THINK = re.compile(r"gpt-5\.[1-9].*")


_THINKS_NOW = replace(_THINKS, params=_THINKING | {"verbosity"})
_THINKS_NOT = replace(_PLAIN, temperature=None, logprobs=None, params=_THINKING | {"verbosity", "top_p"}, thinks=8192)
"""Told to; of one that was told nothing it is not sure."""


@functools.cache
def able(model: str, effort: str | None = None) -> Able:
    """`effort`: the `reasoning_effort` of the call; None: its model's own, which for gpt-5.1 and later is `none` at first."""
    name = model.removeprefix("ft:").split(":")[0]
    if _MAY_NOT_THINK.fullmatch(name):
        return _THINKS_NOT if effort in (None, "none") else _THINKS_NOW
    return next((able for pattern, able in _TABLE if pattern.fullmatch(name)), UNKNOWN)


_FLEX = re.compile(
    r"(o3|o4-mini)(-20.*)?|gpt-(5|[5-9]\.\d|[6-9])(-(?!chat|codex|audio|image|realtime|live|transcribe|tts).*)?"
)


@functools.cache
def has_flex(model: str) -> bool:
    """Whether OpenAI has its cheaper tier for it. A name of no known family is tried: what is wished may be refused."""
    name = model.split(":", maxsplit=1)[0]
    return _FLEX.fullmatch(name) is not None or able(model) is UNKNOWN
