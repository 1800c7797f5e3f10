"""The arms of a label held against each other: what each did, how sure that is, and whether they differ by more than chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row

from schemas.money import to_usd
from store.database import now
from store.registry import arms as ledger
from store.registry import read
from store.registry.arms import Did
from store.registry.errors import Missing
from streams.prompting import chance, fitting
from streams.prompting.chance import Against, Between
from streams.prompting.looking import moment

_DAYS_30 = 30 * 86_400.0
NOISE = 1 - chance.CONFIDENCE
"""A difference that chance alone shows less often than this is told as one."""
_SAME = "they may be the same"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the ledger knows of a label's arms. `stands`: version to weight, now; `formed`: versions whose answers have a form."""

    slug: str
    label: str
    since: float
    until: float
    stands: Mapping[int, int]
    formed: frozenset[int]
    did: Sequence[Did]
    more: bool


def seen(
    conn: Connection, prompt: Row[Any], *, label: str, tenant: str, since: float | None, until: float | None
) -> Seen:
    """The last 30 days if nothing is said. Raises `Missing` for a label that there never was."""
    until = now(conn) if until is None else until
    since = until - _DAYS_30 if since is None else since
    stands = {row.label: row.arms for row in read.labels(conn, prompt.id)}
    if label not in stands and not read.moves(conn, prompt.id, label, 1):
        listed = ", ".join(sorted(stands)) or "none"
        raise Missing(f"the prompt '{prompt.slug}' has no label '{label}'; it has {listed}")
    wanted = ledger.Wanted(prompt.id, prompt.slug, label, tenant, since, until)
    did, more = ledger.did(conn, wanted)
    own = prompt.is_system and prompt.slug in fitting.own()
    formed = (
        row.version for row in read.versions(conn, prompt.id) if own or orjson.loads(row.body).get("output_schema")
    )
    now_ = dict(orjson.loads(stands[label])) if label in stands else {}
    return Seen(prompt.slug, label, since, until, now_, frozenset(formed), did, more)


def report(told: Seen) -> dict[str, Any]:
    """As programs read it. The arm with the most weight is what the others are held against, else the one with the most requests."""
    arms = {version: _Arm(version, told) for version in sorted({*told.stands, *(each.version for each in told.did)})}
    first = max(
        arms.values(), key=lambda arm: (told.stands.get(arm.version, 0), len(arm.did), -arm.version), default=None
    )
    pairs = [(first, arm) for arm in arms.values() if first is not None and arm is not first]
    found = _differences(pairs)
    return {
        "slug": told.slug,
        "label": told.label,
        "from": moment(told.since),
        "to": moment(told.until),
        "confidence": chance.CONFIDENCE,
        "against": None if first is None else first.version,
        "arms": [arm.told(sum(told.stands.values())) for arm in arms.values()],
        "differences": found,
        "words": _words(told, list(arms.values()), found),
        "cut_off": told.more,
    }


class _Arm:
    """One version's requests."""

    def __init__(self, version: int, told: Seen) -> None:
        self.version, self.weight = version, told.stands.get(version)
        self.name = f"{told.label}/{version}"
        self.did = [each for each in told.did if each.version == version]
        self.good = [each for each in self.did if each.state == "succeeded"]
        self.ended = len(self.good) + sum(each.state == "failed" for each in self.did)
        answered = len(self.good) + sum(each.error_type == "invalid_answer" for each in self.did)
        self.formed = answered if version in told.formed else 0
        self.at_once = sum(not each.repaired for each in self.good)
        priced = [each.nano for each in self.did if each.nano is not None]
        self.unpriced, self.nano = len(self.did) - len(priced), sum(priced)
        self.dollars = [nano / 10**9 for nano in priced]
        self.latencies = [float(each.latency_ms) for each in self.good]

    def told(self, of: int) -> dict[str, Any]:
        """As programs read it."""
        schema = _rate(self.at_once, self.formed) if self.formed else None
        return {
            "version": self.version,
            "arm": self.name,
            "share": None if self.weight is None else round(self.weight / of, 6),
            "requests": len(self.did),
            "ended": self.ended,
            "success": _rate(len(self.good), self.ended),
            "schema_valid": schema,
            "cost_usd": {
                "total": to_usd(self.nano),
                "mean": _between(chance.mean(self.dollars), 9),
                "unpriced_requests": self.unpriced,
            },
            "latency_ms": {
                "p50": _between(chance.quantile(self.latencies, 0.5), 0),
                "p95": _between(chance.quantile(self.latencies, 0.95), 0),
            },
        }


def _rate(hits: int, of: int) -> dict[str, Any]:
    """Wilson's interval."""
    found = chance.wilson(hits, of)
    return {
        "share": _round(found.value, 4) if of else None,
        "low": _round(found.low, 4),
        "high": _round(found.high, 4),
        "of": of,
    }


def _between(found: Between | None, digits: int) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"value": _round(found.value, digits), "low": _round(found.low, digits), "high": _round(found.high, digits)}


def _round(value: float, digits: int) -> float:
    return round(value, digits) if digits else round(value)


@dataclass(frozen=True, slots=True)
class _Held:
    """One figure of two arms. `words`: both, the second one's first; None of `found`: too few to say."""

    version: int
    against: int
    what: str
    found: Against | None
    words: str
    more: str
    less: str


def _differences(pairs: Sequence[tuple[_Arm | None, _Arm]]) -> list[dict[str, Any]]:
    held = [each for first, arm in pairs if first is not None for each in _held(first, arm)]
    raised = iter(chance.holm([each.found.p for each in held if each.found is not None]))
    return [_told(each, None if each.found is None else next(raised)) for each in held]


def _held(first: _Arm, arm: _Arm) -> list[_Held]:
    """Of what both have: a free model's costs are not held against each other, nor texts against a schema."""
    both = (arm.version, first.version)
    found = [
        _of_rates(
            both, "success", (len(arm.good), arm.ended), (len(first.good), first.ended), ("more often", "less often")
        )
    ]
    if arm.formed and first.formed:
        rates = (arm.at_once, arm.formed), (first.at_once, first.formed)
        found.append(_of_rates(both, "schema_valid", *rates, ("more often", "less often")))
    if arm.nano or first.nano:
        words = f"{_dollars(arm)} against {_dollars(first)} dollars a request"
        found.append(_Held(*both, "cost_usd", chance.means(first.dollars, arm.dollars), words, "dearer", "cheaper"))
    p = chance.ranks(first.latencies, arm.latencies)
    middle, before = (chance.quantile(each.latencies, 0.5) for each in (arm, first))
    slower = None if p is None or middle is None or before is None else Against(middle.value - before.value, p)
    words = f"p50 {_ms(middle)} against {_ms(before)} ms"
    return [*found, _Held(*both, "latency_ms", slower, words, "slower", "faster")]


def _of_rates(
    both: tuple[int, int], what: str, arm: tuple[int, int], first: tuple[int, int], which: tuple[str, str]
) -> _Held:
    found = chance.rates(first, arm) if arm[1] and first[1] else None
    return _Held(*both, what, found, f"{_percent(*arm)} against {_percent(*first)}", *which)


_WHAT: Mapping[str, str] = {
    "success": "succeeds",
    "schema_valid": "keeps to its schema at once",
    "cost_usd": "is",
    "latency_ms": "is",
}


def _told(held: _Held, p: float | None) -> dict[str, Any]:
    """`p` raised for all that are told together."""
    found = held.found
    real = p is not None and p < NOISE
    return {
        "version": held.version,
        "against": held.against,
        "what": held.what,
        "difference": None if found is None else _round(found.difference, 9),
        "low": None if found is None or found.low is None else _round(found.low, 9),
        "high": None if found is None or found.high is None else _round(found.high, 9),
        "p": None if p is None else float(f"{p:.3g}"),
        "more_than_noise": None if p is None else real,
        "words": _sentence(held, p),
    }


def _sentence(held: _Held, p: float | None) -> str:
    whose = f"Version {held.version}"
    if held.found is None or p is None:
        return f"{whose}, {held.what}: {held.words}; too few requests to say anything."
    if p >= NOISE:
        return f"{whose}, {held.what}: {held.words}; chance alone may show that (p = {p:.2g}), {_SAME}."
    word = held.more if held.found.difference > 0 else held.less
    if held.found.difference == 0:
        word = "spread differently"
    return (
        f"{whose} {_WHAT[held.what]} {word} than version {held.against}: {held.words}; more than noise (p = {_p(p)})."
    )


def _words(told: Seen, arms: Sequence[_Arm], found: Sequence[Mapping[str, Any]]) -> str:
    """The whole in one sentence."""
    if not told.did:
        return f"No request that '{told.label}' chose a version for was called in this time."
    if len(arms) < 2:
        return f"'{told.label}' has one version here, so there is nothing to hold against it."
    real = [each["words"] for each in found if each["more_than_noise"]]
    if real:
        return " ".join(real)
    return "Nothing differs by more than chance would show; more requests may show what these do not."


def _percent(hits: int, of: int) -> str:
    return f"{100 * hits / of:.1f} % of {of}" if of else "none ended"


def _dollars(arm: _Arm) -> str:
    return dollars(sum(arm.dollars) / len(arm.dollars)) if arm.dollars else "unknown"


def dollars(value: float) -> str:
    """As exact as an amount of its size is told."""
    return f"{value:.6f}" if value >= 0.001 else f"{value:.9f}"


def _ms(found: Between | None) -> str:
    return "-" if found is None else f"{found.value:.0f}"


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 0.0001 else "below 0.0001"
