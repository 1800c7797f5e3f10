"""A rule is written `what:do` or `what:do:when`; `GENAI_GUARDS` gives each operation its list.

`what`: a word of `finding.KINDS`, `/a pattern of your own/`, or `moderation`: a model judges. `do`: `mask` (the model reads a
placeholder, the caller gets his own value back), `refuse`, or `report`. `when`: `before` the call (what `mask` and nothing else
means without a word), `after` it, `both`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from agents.guards.finding import KINDS, Kind

Do = Literal["mask", "refuse", "report"]
When = Literal["before", "after"]
ALL = "*"
"""The operation's name that stands for every operation."""

MODERATION = "moderation"
_LEAST_PATTERN = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """`name`: as it was written, what it looks for."""

    name: str
    kinds: tuple[Kind, ...]
    do: Do
    when: frozenset[When]
    judges: bool = False
    """A model looks, and not patterns."""


def rule(words: str) -> Rule:
    """Raises ValueError with a sentence."""
    what, do, when = _parts(words)
    if do not in get_args(Do):
        raise ValueError(f"{words!r}: what is to be done is one of {', '.join(get_args(Do))}, as in 'pii:mask'")
    if when not in {"before", "after", "both"}:
        raise ValueError(f"{words!r}: when is one of before, after, both, as in 'secrets:refuse:both'")
    if do == "mask" and what == MODERATION:
        raise ValueError(f"{words!r}: a model judges texts as a whole, so there is nothing to mask; refuse or report")
    if do == "mask" and when != "before":
        raise ValueError(f"{words!r}: what is masked is masked before the call; an answer is refused or reported")
    times: frozenset[When] = frozenset({"before", "after"}) if when == "both" else frozenset({when})  # type: ignore[arg-type]
    kinds = () if what == MODERATION else _kinds(what, words)
    return Rule(what, kinds, do, times, judges=what == MODERATION)  # type: ignore[arg-type]


def rules(told: Mapping[str, Sequence[str]]) -> dict[str, tuple[Rule, ...]]:
    """By operation. Raises ValueError."""
    return {operation: tuple(map(rule, words)) for operation, words in told.items()}


def _parts(words: str) -> tuple[str, str, str]:
    """A pattern may hold colons; what follows it may not."""
    end = words.rfind("/")
    if words.startswith("/") and end > 0:
        what, rest = words[: end + 1], words[end + 1 :].removeprefix(":")
    else:
        what, _, rest = words.partition(":")
    do, _, when = rest.partition(":")
    return what, do, when or "before"


def _kinds(what: str, words: str) -> tuple[Kind, ...]:
    if what in KINDS:
        return KINDS[what]
    if not (what.startswith("/") and what.endswith("/") and len(what) >= _LEAST_PATTERN):
        raise ValueError(
            f"{words!r} looks for nothing that is known; there are {', '.join(KINDS)}, {MODERATION}, and /patterns/"
        )
    try:
        pattern = re.compile(what[1:-1])
    except re.error as error:
        raise ValueError(f"{words!r} is no regular expression ({error})") from None
    if pattern.match(""):
        raise ValueError(f"{words!r} fits everywhere; let it look for something")
    return (Kind("HIDDEN", pattern),)
