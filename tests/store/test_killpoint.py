import subprocess
import sys

import pytest

from store import killpoint
from store.errors import BadKillPoint

pytestmark = pytest.mark.fast


def test_it_kills_at_the_passage_that_was_told_and_not_before() -> None:
    code = (
        "from store import killpoint; killpoint.arm('recorded:3')\n"
        "for i in range(5):\n    killpoint.passing('leased'); print(i, flush=True); killpoint.passing('recorded')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.split()) == (-9, ["0", "1", "2"])


def test_it_is_off_unless_it_is_armed() -> None:
    killpoint.arm("")
    for name in killpoint.POINTS:
        killpoint.passing(name)


@pytest.mark.parametrize("told", ["nowhere", "leased:soon", ":1"])
def test_a_point_that_is_none_is_refused_with_those_that_there_are(told: str) -> None:
    with pytest.raises(BadKillPoint, match="write name:n with one of accepted, leased"):
        killpoint.arm(told)
