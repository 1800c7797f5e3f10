"""Figures to tables and JSON: medians, the spread beside them, ratios taken within a round."""

import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

OUT = Path(__file__).parent / "out"
_SHOWN = ("aiokafka", "faust-streaming", "aiohttp", "httpx", "sqlalchemy", "asyncpg", "uvloop")


@dataclass(frozen=True)
class Line:
    """One figure of one side, a value for each round. `goal` is a sentence, `met` None where there is none."""

    side: str
    figure: str
    unit: str
    values: Sequence[float]
    goal: str = ""
    met: bool | None = None

    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True)
class Report:
    """One measure's outcome."""

    name: str
    what: str
    lines: Sequence[Line]
    notes: Sequence[str] = ()
    extra: dict[str, Any] = field(default_factory=dict)


def at_least(side: str, figure: str, values: Sequence[float], goal: float) -> Line:
    line = Line(side, figure, "", values, f">= {goal:g}")
    return Line(side, figure, "", values, line.goal, line.median() >= goal)


def at_most(side: str, figure: str, unit: str, values: Sequence[float], goal: float) -> Line:
    line = Line(side, figure, unit, values, f"<= {goal:g} {unit}".rstrip())
    return Line(side, figure, unit, values, line.goal, line.median() <= goal)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def machine() -> str:
    """One line about where this ran."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _SHOWN)
    load = "/".join(f"{each:.1f}" for each in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, {versions}; load {load}"
    )


def show(report: Report, command: str, console: Console) -> None:
    table = Table(title=f"{report.name}: {report.what}", title_justify="left", caption=command, caption_justify="left")
    for heading in ("side", "figure"):
        table.add_column(heading)
    for heading in ("median", "spread"):
        table.add_column(heading, justify="right")
    table.add_column("goal")
    for line in report.lines:
        verdict = "" if line.met is None else (" [green]met[/]" if line.met else " [red]missed[/]")
        table.add_row(
            line.side,
            line.figure,
            f"{_number(line.median())} {line.unit}".rstrip(),
            f"{_number(min(line.values))}-{_number(max(line.values))}" if len(line.values) > 1 else "",
            line.goal + verdict,
        )
    console.print(table)
    for note in report.notes:
        console.print(note, highlight=False)


def save(report: Report, command: str, where: Path = OUT) -> Path:
    where.mkdir(parents=True, exist_ok=True)
    path = where / f"{report.name}.json"
    lines = [{**asdict(line), "median": line.median()} for line in report.lines]
    told = asdict(report) | {
        "lines": lines,
        "command": command,
        "machine": machine(),
        "at": time.strftime("%FT%TZ", time.gmtime()),
    }
    path.write_text(json.dumps(told, indent=1))
    return path


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
