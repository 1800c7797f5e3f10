from pathlib import Path

import pytest

from store import killpoint
from tests.chaos import faults
from tests.chaos.deaths import PASSAGES

pytestmark = pytest.mark.fast


def test_the_page_holds_the_table_as_it_is() -> None:
    page = faults.PAGE.read_text()
    assert page == faults.written(page), "run python -m tests.chaos.faults"


@pytest.mark.parametrize("fault", [fault for fault in faults.FAULTS if fault.tried], ids=lambda fault: fault.name)
def test_what_is_said_to_be_tried_is_a_test(fault: faults.Fault) -> None:
    file, _, name = fault.tried.partition("::")
    assert f"def {name}(" in (faults.PAGE.parents[1] / Path(file)).read_text()


def test_every_kill_point_is_killed_at() -> None:
    # the chaos begins with the first; the others are ways of their own
    elsewhere = {"migrating", "draining", "fed", "scheduled", "rolled_up", "computed"}
    elsewhere |= {"gathered", "handing_over", "handed_over", "returned"}
    assert set(PASSAGES) | elsewhere == set(killpoint.POINTS)
