"""The watchdog bites a process that does not get on, and no other."""

import subprocess
import sys
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from streams.intake import LaneState
from streams.watchdog import Watchdog

pytestmark = pytest.mark.fast


@dataclass
class Intake:
    """As far as the watchdog looks: three lanes, what waits in Kafka, and a consumer whose start is decided."""

    lanes: list[LaneState] = field(default_factory=lambda: [LaneState(name, ()) for name in ("realtime", "normal")])
    waits: dict[str, int] = field(default_factory=lambda: {"realtime": 0, "normal": 5})
    consumer: Any = field(default_factory=lambda: SimpleNamespace(unplanned=set()))

    def lag(self) -> dict[str, int]:
        return self.waits

    def _consumer(self) -> Any:
        return self.consumer


def dog(intake: Intake | None, *, ledger: bool = True) -> Watchdog:
    health = SimpleNamespace(ok=ledger)
    spine: Any = SimpleNamespace(intake=intake, writer=SimpleNamespace(health=health))
    return Watchdog(spine, stall_s=0.02)


def later(watched: Watchdog) -> bool:
    """Asked, and asked again when patience is over."""
    watched.bites()
    time.sleep(0.03)
    return watched.bites()


async def test_records_that_wait_while_none_is_taken_end_the_process(capfd: pytest.CaptureFixture[str]) -> None:
    assert later(dog(Intake()))
    assert "Stack for <Task" in capfd.readouterr().err  # all stacks, for whoever looks into it


@pytest.mark.parametrize(
    ("intake", "ledger"),
    [
        (None, True),  # web takes nothing in
        (Intake(waits={"realtime": 0, "normal": 0}), True),
        (Intake(), False),  # the database is away: taking waits for it
        (Intake(consumer=None), True),  # no group yet
        (Intake(consumer=SimpleNamespace(unplanned={"tp"})), True),  # where to read on is not decided yet
        # what waits is held back, because the ledger has enough of that lane
        (Intake(lanes=[LaneState("realtime", ()), LaneState("normal", (), held=True)]), True),
    ],
)
def test_who_has_nothing_to_do_or_waits_for_another_is_left_alone(intake: Intake | None, ledger: bool) -> None:
    assert not later(dog(intake, ledger=ledger))


def test_one_record_taken_is_progress() -> None:
    intake = Intake()
    watched = dog(intake)
    watched.bites()
    time.sleep(0.03)
    intake.lanes[1].taken += 1
    assert not watched.bites()


@pytest.mark.dear
def test_a_loop_that_stands_still_ends_its_process_with_all_stacks() -> None:
    code = (
        "import asyncio, time\nfrom streams import watchdog\n"
        "async def main():\n    task = watchdog.arm(0.3)\n    await asyncio.sleep(0)\n    time.sleep(600)\n"
        "asyncio.run(main())"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, "Timeout" in ended.stderr) == (1, True)  # long before it would have woken
