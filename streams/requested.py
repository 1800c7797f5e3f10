"""Which requests a list shows: what HTTP and the command line are told, as the ledger takes it."""

import re
from collections.abc import Mapping

from schemas.request import MAX_NAME, Lane
from store.ledger.pages import STATES, Wanted
from streams import days

UNFINISHED, FINISHED = STATES[:4], STATES[4:]
_WORDS = {"unfinished": UNFINISHED, "finished": FINISHED}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

FILTERS = ("state", "operation", "tenant", "lane", "run_id", "from", "to")


def wanted(told: Mapping[str, str | None]) -> Wanted:
    """From `FILTERS`, any of which may be missing. Raises ValueError with a sentence."""
    since, until = days.moments(told.get("from"), told.get("to"))
    operation = named("operation", told.get("operation"))
    limits = {name: at for name, at in (("since", since), ("until", until)) if at is not None}
    return Wanted(
        states=_states(told.get("state")),
        operation=None if operation is None else operation.replace("-", "_"),
        tenant=named("tenant", told.get("tenant")),
        lane=lane(told.get("lane")),
        run_id=named("run_id", told.get("run_id")),
        **limits,
    )


def named(name: str, value: str | None) -> str | None:
    """A name as the contract allows them. Raises ValueError."""
    if value is not None and (not 0 < len(value) <= MAX_NAME or _CONTROL.search(value)):
        raise ValueError(
            f"{name}={value[:100]!r} is no name: 1 to {MAX_NAME} characters, none of them a control character."
        )
    return value


def _states(told: str | None) -> tuple[str, ...]:
    if told is None:
        return ()
    found: list[str] = []
    for word in told.split(","):
        if word not in _WORDS and word not in STATES:
            known = ", ".join((*_WORDS, *STATES))
            raise ValueError(f"state={word[:100]!r} is not known; choose some of {known}, separated by commas.")
        found += _WORDS.get(word, (word,))
    return tuple(dict.fromkeys(found))


def lane(told: str | None) -> int | None:
    """By its name. Raises ValueError."""
    if told is None:
        return None
    lanes = {lane.name.lower(): lane.value for lane in Lane}
    if told not in lanes:
        raise ValueError(f"lane={told[:100]!r} is not known; choose one of {', '.join(lanes)}.")
    return lanes[told]
