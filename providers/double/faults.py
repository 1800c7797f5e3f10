"""How a double behaves: its latency, its long tail, its failures, and how a prompt provokes one.

A prompt that holds `[fake:overloaded]` is answered with that fault of `FAULTS`, each time. `[fake:overloaded*2]`: only the
first two calls of that request (of one `tag`), so that a retry can be seen to succeed. Besides the faults there are

    [fake:sleep:1.5]    answers after 1.5 s more
    [fake:slow]         answers as the tail does: after ten times the latency
    [fake:length]       the answer is cut in the middle, `finish_reason` is `length`
    [fake:gibberish]    the answer is no JSON although a schema was given (`*1`: and the repair is well-formed)
    [fake:tools:2]      it asks for two of the tools that it was given; without a number for one
    [fake:reasoning]    it thinks aloud before it answers
    [fake:refusal]      the model refuses to answer, in the way in which its provider tells that
    [fake:content_filter]  the answer is cut by a filter, and `finish_reason` is `content_filter`
    [fake:gate]         after its first piece it waits until somebody opens the gate: `POST /_open`, `FakeProvider.open`

All chance is a hash of (seed, tag, number of the call of that tag): the order in which calls arrive changes nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

from providers.errors import (
    ContextTooLong,
    Disconnected,
    ModelNotFound,
    Overloaded,
    ProviderError,
    RateLimited,
    Refused,
    Rejected,
    ServerError,
    TimedOut,
    Unreachable,
    Unreadable,
    Unsupported,
)

Wire = Literal["error", "hang", "hang midway", "reset", "cut", "broken json", "unfinished", "empty", "failed midway"]

_TAIL_FACTOR = 10.0
STEP_S = 0.1
"""Between two pieces of a streamed answer. One that takes less than two of them comes whole: a timer per token would be
measured instead of the engine."""

_DIRECTIVE = re.compile(r"\[fake:([a-z_]+)(?::([0-9.]+))?(?:\*([0-9]+))?\]")


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail: as the port's error in process; on the wire as `wire`, with a status and a body for `error`. Those are
    Ollama's; other formats have their own words.

    `executed`: the model worked, so a provider that takes money took some.
    """

    error: type[ProviderError]
    wire: Wire = "error"
    status: int = 500
    body: str = '{"error":"fake"}'
    executed: bool = False


_BUSY = '{"error":"server busy, please try again.  maximum pending requests exceeded"}'
_WAIT = '{"error":"rate limit exceeded"}'

FAULTS: Mapping[str, Fault] = {
    "unreachable": Fault(Unreachable, status=503, body=_BUSY),  # a server cannot refuse a connection that it has taken
    "overloaded": Fault(Overloaded, status=503, body=_BUSY),
    "rate_limited": Fault(RateLimited, status=429, body=_WAIT),  # `[fake:rate_limited:2]`: Retry-After, in seconds
    "rate_limited_date": Fault(RateLimited, status=429, body=_WAIT),  # the same, as an HTTP date
    "rejected": Fault(Rejected, status=400, body='{"error":"time: invalid duration \\"soon\\""}'),
    "model_not_found": Fault(ModelNotFound, status=404, body='{"error":"model \'fake\' not found"}'),
    "context_too_long": Fault(
        ContextTooLong, status=400, body='{"error":"the input length exceeds the context length"}'
    ),
    "unsupported": Fault(Unsupported, status=400, body='{"error":"\\"fake\\" does not support chat"}'),
    "refused": Fault(Refused, status=401, body='{"error":"unauthorized"}'),
    "quota": Fault(Refused, status=403, body='{"error":"you have no credit left"}'),  # waiting would not help
    "timed_out": Fault(TimedOut, "hang", executed=True),  # before the first byte
    "stalled": Fault(TimedOut, "hang midway", executed=True),  # after it
    "disconnected": Fault(Disconnected, "reset", executed=True),
    "cut": Fault(Disconnected, "cut", executed=True),  # the end in the middle of the body
    "server_error": Fault(ServerError, status=500, body='{"error":"an error was encountered"}', executed=True),
    "unreadable": Fault(Unreadable, "broken json", executed=True),
    "unfinished": Fault(Unreadable, "unfinished", executed=True),  # whole for HTTP, but its end is missing
    "empty": Fault(Unreadable, "empty", executed=True),  # whole, and nothing in it: no message, no choice
    "failed_midway": Fault(ServerError, "failed midway", executed=True),  # an error where the next token should be
    "not_ollama": Fault(Unreadable, status=404, body="404 page not found"),  # text/plain
}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """`tail`: the share of calls that take ten times `latency_s`. `failures`: the share that fails, evenly in `kinds`.

    `context_tokens`: a longer prompt is refused. Tokens are words.
    `most`: so many calls at once; the next ones are refused with 429 and a `Retry-After` of `most_wait_s`, as a cloud does.
    0: no bound.
    `holds`: models in memory at a time; another one takes `load_s` to load. 0: all are there.
    """

    latency_s: float = 0.0
    tail: float = 0.0
    failures: float = 0.0
    kinds: tuple[str, ...] = ("overloaded", "server_error", "disconnected", "rate_limited")
    seed: int = 0
    context_tokens: int = 8192
    most: int = 0
    most_wait_s: float = 1.0
    holds: int = 0
    load_s: float = 0.0

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in FAULTS]
        if unknown or not self.kinds:
            raise ValueError(f"unknown failure {', '.join(unknown) or '(none)'}; there are {', '.join(FAULTS)}")


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to one call. `argument` is a directive's number."""

    delay_s: float = 0.0
    fault: str | None = None
    argument: float | None = None
    cut: bool = False
    gibberish: bool = False
    tools: int = 0
    reasoning: bool = False
    refusal: bool = False
    filtered: bool = False
    gate: bool = False


def plan(how: Behaviour, tag: str, nth: int, texts: tuple[str, ...]) -> Plan:
    """The fate of call number `nth` (from 1) of request `tag`; a directive in a text goes before chance."""
    slow = how.tail > 0 and chance(how.seed, "tail", tag, nth) < how.tail
    usual = how.latency_s * (_TAIL_FACTOR if slow else 1.0)
    for text in texts:
        if "[fake:" in text:
            for name, number, times in _DIRECTIVE.findall(text):
                if not times or nth <= int(times):
                    return _directed(how, name, float(number) if number else None, usual)
    if how.failures > 0 and chance(how.seed, "failure", tag, nth) < how.failures:
        which = int(chance(how.seed, "kind", tag, nth) * len(how.kinds))
        return Plan(usual, fault=how.kinds[which])
    return Plan(usual)


_OUTCOMES: Mapping[str, Plan] = {
    "length": Plan(cut=True),
    "gibberish": Plan(gibberish=True),
    "reasoning": Plan(reasoning=True),
    "refusal": Plan(refusal=True),
    "content_filter": Plan(filtered=True),
    "gate": Plan(gate=True),
}


def _directed(how: Behaviour, name: str, argument: float | None, usual: float) -> Plan:
    match name:
        case "sleep":
            return Plan(usual + (argument or 0.0))
        case "slow":
            return Plan(how.latency_s * _TAIL_FACTOR)
        case "tools":
            return Plan(usual, tools=int(argument or 1))
    if name in _OUTCOMES:
        return replace(_OUTCOMES[name], delay_s=usual)
    return Plan(usual, fault=name if name in FAULTS else None, argument=argument)


def chance(*parts: object) -> float:
    """A number in [0, 1) that depends on `parts` and on nothing else."""
    digest = blake2b("\x1f".join(map(str, parts)).encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
