"""The capacity page's tables follow from its own figures."""

import re

import pytest

from streams.settings import Settings
from tests.deploy.files import ROOT

pytestmark = pytest.mark.fast

TEXT = (ROOT / "docs/explanation/capacity.md").read_text(encoding="utf-8")
GPUS = (1, 10, 100)
T, S, U = 2.0, 4, 0.95
DAY = 86_400
RATE = [gpus * S / T * U for gpus in GPUS]
UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "million": 1e6, "hours": 3600, "minutes": 60, "%": 0.01}


def row(begins: str) -> list[float]:
    """The figures of the table row whose first cell begins so."""
    (line,) = [line for line in TEXT.splitlines() if line.startswith(f"| {begins}")]
    found = []
    for cell in line.split("|")[2:-1]:
        match = re.match(r"([\d.,]+) ?(KB|MB|GB|million|hours|minutes|%)?", cell.strip())
        assert match is not None, cell
        found.append(float(match[1].replace(",", "")) * UNITS.get(match[2], 1))
    return found


@pytest.mark.parametrize(
    ("begins", "computed"),
    [
        ("slots |", [gpus * S for gpus in GPUS]),
        ("requests a second: slots", RATE),
        ("requests a day", [rate * DAY for rate in RATE]),
        ("CPU of all workers", [rate * 0.0015 for rate in RATE]),
        ("workers for the load", [rate / 330 for rate in RATE]),
        ("written a second", [rate * 6_500 for rate in RATE]),
        ("kept for 7 days", [rate * 6_500 * 7 * DAY for rate in RATE]),
        ("time in the ledger", [rate * 0.00077 for rate in RATE]),
        ("disk: requests a day", [rate * DAY * 9_000 for rate in RATE]),
        ("`GENAI_LEDGER_WINDOW`", [Settings.model_fields["ledger_window"].default / rate for rate in RATE]),
        ("backlog at which", [rate * Settings.model_fields["retention_hours"].default * 3600 for rate in RATE]),
    ],
)
def test_a_row_is_what_its_formula_gives(begins: str, computed: list[float]) -> None:
    """Two figures are shown, so a twentieth is within what rounding does; the smallest shares are rounded more."""
    assert row(begins) == pytest.approx(computed, rel=0.06)
