"""Named moments at which this process may be told to die, as by `kill -9`: a hook of `tests/chaos`, off in every other life.

`GENAI_KILL_AT=published:3` kills at the third passage of `published`. It is no setting: whoever serves arms it once, from the
environment, before anything runs. Off, a passage is one look at an empty list.
"""

import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from store.errors import BadKillPoint

VARIABLE = "GENAI_KILL_AT"
POINTS: Mapping[str, str] = {
    "accepted": "records are in the ledger, their offsets are not acked",
    "leased": "rows and slots are ours; of some the first intent stands already, no byte has left",
    "intended": "a call's intent is committed, its first byte has not left",
    "called": "a call was sent, its answer is not here",
    "answered": "an answer is here, its commit is not",
    "recording": "in the middle of an answer's transaction",
    "recorded": "an answer is committed, the relay has not sent it",
    "published": "the broker has acknowledged records, they are not marked",
    "fed": "items of a run are requests, the run does not know it",
    "gathered": "a batch is written down, nothing of it was sent",
    "handing_over": "a batch is on its way to its provider",
    "handed_over": "a provider has a batch, its name is not written down",
    "returned": "a batch's answers are here, none of them is recorded",
    "scheduled": "a schedule's run is committed, the process that leads does not know it",
    "rolled_up": "a day's costs are put right, the run that did it does not know it",
    "computed": "a function of a pipeline's step has given its output, nobody keeps it yet",
    "taking_over": "in the middle of the transaction that takes over from the dead",
    "migrating": "in the middle of the migration's transaction",
    "draining": "asked to end, running calls have their grace",
}
_FLIGHT_S = 0.01
"""After this time a call's bytes have left and a double with a latency has not answered."""


@dataclass(slots=True)
class _Armed:
    name: str
    left: int


_armed: list[_Armed] = []


def arm(told: str) -> None:
    """`name:n`; empty: nothing happens, ever. Raises `BadKillPoint`."""
    _armed.clear()
    if not told:
        return
    name, _, count = told.partition(":")
    if name not in POINTS or not (count or "1").isdigit():
        raise BadKillPoint(f"{VARIABLE}={told} is no kill point; write name:n with one of {', '.join(POINTS)}")
    _armed.append(_Armed(name, int(count or 1)))


def passing(name: str) -> None:
    """This process is at this point now."""
    for point in _armed:
        if point.name == name:
            point.left -= 1
            if point.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


def soon(name: str) -> None:
    """This process will be at this point in a moment, if nothing comes between."""
    if any(point.name == name for point in _armed):
        asyncio.get_running_loop().call_later(_FLIGHT_S, passing, name)
