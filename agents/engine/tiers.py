"""Which tier a call is made on: a function of what was wished, of how much time is left, and of what is known to be cheaper.

A wish for something cheaper is never an error: where it cannot be, the call is made on the standard tier, and its result says
why. Nothing is decided for good: whoever comes back from a batch without an answer is decided about anew.
"""

from dataclasses import dataclass

from schemas.request import Lane
from schemas.tiers import Taken, Tier

HOUR_S = 3600.0
MOST_BATCHES = 3
"""So often may one call come back from a batch without an answer before it is asked for on the standard tier."""


@dataclass(frozen=True, slots=True)
class Rules:
    """`wish`: of requests that say nothing. Seconds: a nearer deadline than `batch_least_s` allows no batch, than `flex_least_s` no
    flex; `flex_timeout_s`: so long may a flex call take that its request does not give longer. `reserve_s`: so long before its
    deadline a call that its batch has not answered must be asked for elsewhere.
    """

    wish: Tier = "standard"
    batch_least_s: float = 2 * HOUR_S
    flex_least_s: float = 900.0
    flex_timeout_s: float = 900.0
    reserve_s: float = 1800.0


@dataclass(frozen=True, slots=True)
class Prices:
    """What the call costs at most on each tier, in nano-dollars; None: nothing prices it."""

    standard: int | None = None
    flex: int | None = None
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one call. `left_s`: to its deadline; None: it has none. `own`: the request names its `service_tier`."""

    wish: Tier
    lane: int
    left_s: float | None
    model: str
    has_batch: bool = False
    has_flex: bool = False
    read_along: bool = False
    own: bool = False
    batches: int = 0
    """How often this call came back from a batch without an answer."""
    flexed: bool = False
    """A flex call of it has failed."""
    prices: Prices = Prices()


@dataclass(frozen=True, slots=True)
class Choice:
    """`why`: for the result."""

    tier: Taken
    why: str


STANDARD = Choice("standard", "")


def choose(facts: Facts, rules: Rules) -> Choice:
    """Decide."""
    if facts.wish == "standard":
        return STANDARD
    if facts.read_along:
        return Choice("standard", "its caller reads along")
    if facts.own:
        return Choice("standard", "it names a `service_tier` itself")
    why_not: list[str] = []
    if facts.wish in {"auto", "batch"}:
        if not (words := _no_batch(facts, rules)):
            return Choice("batch", why(facts.wish, facts.left_s))
        why_not.append(words)
    if facts.wish in {"auto", "flex"}:
        if not (words := _no_flex(facts, rules)):
            return Choice("flex", why(facts.wish, facts.left_s))
        why_not.append(words)
    return Choice("standard", "; ".join(dict.fromkeys(why_not)))


def flex_timeout_s(timeout_s: float, left_s: float | None, rules: Rules) -> float:
    """How long a flex call may take: a standard one must still fit in behind it."""
    longest = max(timeout_s, rules.flex_timeout_s)
    return longest if left_s is None else max(timeout_s, min(longest, left_s - timeout_s))


def _no_batch(facts: Facts, rules: Rules) -> str:
    """Why not; empty: it may."""
    if not facts.has_batch:
        return f"`{facts.model}` has no batches"
    if facts.batches >= MOST_BATCHES:
        return f"it came back from {facts.batches} batches without an answer"
    return _too_soon(facts, rules.batch_least_s, "a batch") or _dear(facts, facts.prices.batch, "a batch")


def _no_flex(facts: Facts, rules: Rules) -> str:
    if not facts.has_flex:
        return f"`{facts.model}` has no flex tier"
    if facts.flexed:
        return "the flex tier had no room, or broke off"
    return _too_soon(facts, rules.flex_least_s, "the flex tier") or _dear(facts, facts.prices.flex, "the flex tier")


def _too_soon(facts: Facts, least_s: float, what: str) -> str:
    if facts.left_s is not None:
        return f"its deadline is too near for {what}" if facts.left_s < least_s else ""
    if facts.wish == "auto" and facts.lane != Lane.BATCH:
        return "it has no deadline and is not of the batch lane, so somebody may wait for it"
    return ""


def _dear(facts: Facts, nano: int | None, what: str) -> str:
    """Only a choice of ours must be known to pay."""
    if facts.wish != "auto":
        return ""
    standard = facts.prices.standard
    cheaper = nano is not None and standard is not None and nano < standard
    return "" if cheaper else f"no price says that {what} is cheaper"


def why(wish: Tier, left_s: float | None) -> str:
    """A cheaper tier was chosen."""
    if wish != "auto":
        return "asked for"
    return "the batch lane, and no deadline" if left_s is None else f"its deadline was {left_s / HOUR_S:.1f} h away"
