"""Code blocks of a page, by the heading above them, run inside a function: so that they may await and return."""

import re
import textwrap
from pathlib import Path
from typing import Any

_HEADING = re.compile(r"^##+ (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> dict[str, list[str]]:
    """Each heading's blocks, in their order."""
    text = page.read_text(encoding="utf-8")
    names = list(_HEADING.finditer(text))
    found: dict[str, list[str]] = {}
    for block in _BLOCK.finditer(text):
        above = [name[1] for name in names if name.start() < block.start()]
        found.setdefault(above[-1] if above else "", []).append(block[1])
    return found


async def run(code: str, names: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What it returns, and the names that it leaves; a block that returns leaves none."""
    body = textwrap.indent(code, "    ")
    left: dict[str, Any] = {}
    source = f"async def snippet(_left):\n    try:\n{textwrap.indent(body, '    ')}\n    finally:\n        _left.update(locals())\n"
    there = dict(names)
    exec(compile(source, "a snippet", "exec"), there)
    told = await there["snippet"](left)
    return told, left
