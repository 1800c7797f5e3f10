"""A table on a wide terminal, and the same as small blocks on a narrow one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NARROW = 72


@dataclass(frozen=True)
class Row:
    """Column to text; the first column is the row's name. Texts are shown as they are: escape them before."""

    cells: dict[str, str]


def listed(rows: Sequence[Row], width: int) -> Any:
    """Something that Rich prints."""
    from rich.text import Text

    if not rows:
        return Text("There are none.")
    return _blocks(rows) if width < NARROW else _table(rows)


def _table(rows: Sequence[Row]) -> Any:
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0].cells:
        made.add_column(Text(name), overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row.cells.values()))
    return made


def _blocks(rows: Sequence[Row]) -> Any:
    from rich.console import Group
    from rich.text import Text

    parts = []
    for row in rows:
        first, *others = row.cells.items()
        parts.append(Text(first[1], style="bold", overflow="fold"))
        parts += [Text(f"  {name}: {text}", overflow="fold") for name, text in others if text]
    return Group(*parts)
