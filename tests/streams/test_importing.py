"""When Python looks for garbage."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.fast

_CODE = """
import gc
from streams import importing
usual = gc.get_threshold()
importing.seldom()
seldom = gc.get_threshold()
with importing.all_stays():
    during = gc.isenabled()
print(seldom[0] > 100 * usual[0], during, gc.get_threshold() == usual, gc.isenabled())
"""


def test_a_command_that_looks_hardly_collects_and_one_that_serves_does_as_usual() -> None:
    found = subprocess.run([sys.executable, "-c", _CODE], capture_output=True, text=True, check=True)
    assert found.stdout == "True False True True\n"
