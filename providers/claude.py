"""What a Claude model takes and refuses, read off its name: the same at Anthropic and at Bedrock.

From Anthropic's pages of models and migration guides (November 2026). What a server says of a model goes before this table
(`told`), and a name that is no Claude's is tried, as with any compatible server.
"""

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from providers.base import Able

_NAME = re.compile(r"claude-(?:([a-z]+)-)?(\d+)(?:[-.](\d{1,2}))?(?!\d)(?:-(opus|sonnet|haiku))?")
_OFTEN = frozenset({"user", "service_tier"})
_SAMPLING = frozenset({"top_p", "top_k"})

LEAST_THOUGHT = 1024
"""The smallest budget of thinking that a model with budgets takes."""

ROOM_TO_THINK = 2048
"""A shorter answer is not worth thinking for: thoughts count against `max_tokens`, and nothing of it would be left."""

ROOM_FOR_THOUGHTS = 8192
"""Beside the answer, at models that cannot be kept from thinking."""

UNSAID_OUTPUT = 4096
"""`max_tokens` of a call that names none: Anthropic wants one, and an upper estimate of costs counts with this one."""


@dataclass(frozen=True, slots=True)
class Claude:
    """`sampling`: temperature, top_p and top_k. `formats`: `output_config.format` and strict tools. `forced`: it may be made
    to call a tool. None: not known, so a call may try.

    `thinking`: not at all, with a `budget` of tokens, or `adaptive`, as hard as one of `efforts`. `off`: the thinking type
    that turns it off; None: nothing does. `thinks`: also when nobody asked for it. `tiers`: OpenAI's word for a service tier
    and the one here. `cannot`: further wishes that its server does not pass on. `one_tool`: it may be held to one tool at a time.
    """

    sampling: bool | None = None
    formats: bool = False
    forced: bool | None = None
    images: bool | None = None
    thinking: Literal["budget", "adaptive"] | None = None
    off: Literal["disabled", "between_tools"] | None = None
    efforts: tuple[str, ...] = ()
    thinks: bool = False
    tiers: tuple[tuple[str, str], ...] = (("auto", "auto"), ("default", "standard_only"))
    cannot: frozenset[str] = frozenset()
    one_tool: bool | None = None
    context_tokens: int | None = None
    output_tokens: int | None = None

    def able(self) -> Able:
        """In the port's words."""
        params = _OFTEN
        if self.sampling is not False:
            params |= _SAMPLING
        if self.thinking is not None:
            params |= {"reasoning_effort"}
        return Able(
            chat=True,
            embed=False,
            schema=True,
            json_mode=self.forced,
            tools=True,
            images=self.images,
            logprobs=False,
            params=params - self.cannot,
            context_tokens=self.context_tokens,
            output_tokens=self.output_tokens,
            seed=False,
            temperature=self.sampling,
            forced_tools=self.forced,
            one_tool=self.one_tool,
            thinks=ROOM_FOR_THOUGHTS if self.thinks and self.off is None else 0,
        )

    def unsaid_output(self) -> int:
        """How long an answer may be where the call does not say."""
        return min(UNSAID_OUTPUT, self.output_tokens or UNSAID_OUTPUT)


UNKNOWN = Claude()


def claude(name: str) -> Claude:
    """By a name as `claude-sonnet-5-5`, `claude-3-5-haiku-20241022` or `us.anthropic.claude-opus-4-6-v1`."""
    found = _NAME.search(name)
    if found is None:
        return _made("mythos", (5, 0)) if "claude-mythos" in name else UNKNOWN
    line = found[1] or found[4] or ""
    return _made(line, (int(found[2]), int(found[3] or 0)))


def _made(line: str, version: tuple[int, int]) -> Claude:
    return Claude(
        sampling=version < (4, 7),
        formats=version >= (4, 5),
        forced=_forced(line, version),
        images=version >= (3, 0),
        thinking=None if version < (3, 7) else "budget" if version < (4, 6) else "adaptive",
        off=_off(line, version),
        efforts=("low", "medium", "high", "xhigh") if version >= (4, 7) else ("low", "medium", "high"),
        thinks=version >= (5, 0) or line == "mythos",
        context_tokens=1_000_000 if version >= (4, 6) else 200_000 if version >= (2, 1) else 100_000,
        output_tokens=_output(line, version),
    )


def _forced(line: str, version: tuple[int, int]) -> bool | None:
    if line in ("fable", "mythos") and version >= (5, 1):
        return False
    if version >= (5, 5):
        return False if line in ("opus", "sonnet") else None
    return True


def _off(line: str, version: tuple[int, int]) -> Literal["disabled", "between_tools"] | None:
    if line in ("fable", "mythos") or (line == "opus" and version >= (5, 5)):
        return None
    return "between_tools" if line == "sonnet" and version >= (5, 5) else "disabled"


def _output(line: str, version: tuple[int, int]) -> int:
    if version >= (4, 6):
        return 64_000 if (line, version) == ("sonnet", (4, 6)) else 128_000
    if version >= (3, 7):
        return 32_000 if line == "opus" and version < (4, 5) else 64_000
    return 8192 if version == (3, 5) else 4096


def told(known: Claude, info: dict[str, Any]) -> Claude:
    """`known`, with what an entry of Anthropic's list of models says besides."""
    capabilities = info.get("capabilities")
    said = capabilities if isinstance(capabilities, dict) else {}
    formats, images = _supported(said, "structured_outputs"), _supported(said, "image_input")
    context, output = info.get("max_input_tokens"), info.get("max_tokens")
    return replace(
        known,
        formats=known.formats if formats is None else formats,
        images=known.images if images is None else images,
        context_tokens=context if isinstance(context, int) else known.context_tokens,
        output_tokens=output if isinstance(output, int) else known.output_tokens,
    )


def _supported(capabilities: dict[str, Any], name: str) -> bool | None:
    found = capabilities.get(name)
    told = found.get("supported") if isinstance(found, dict) else None
    return told if isinstance(told, bool) else None
