"""A page's blocks in their order: what is run, what comes out, what is written into a file.

- A block of `sh` is run; `sh no-run` is not.
- A block of `text` right after one that was run is what it prints: each line must be printed, `…` stands for anything.
  `text example` shows what may be printed, and is not compared.
- A block of `json` after a line that says "Write `NAME`" goes into that file.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(r"^```(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_WRITE = re.compile(r"Write `([^`]+)`[^`]*\Z")


@dataclass(frozen=True)
class Command:
    """One block to run, and the lines that it must print."""

    line: int
    script: str
    expected: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class File:
    """One block to write into a file."""

    name: str
    text: str


def steps(page: Path) -> Iterator[Command | File]:
    text = page.read_text(encoding="utf-8")
    found = list(_BLOCK.finditer(text))
    for this, after in zip(found, [*found[1:], None], strict=True):
        before = text[: this.start()]
        if this["info"] == "sh":
            printed = after is not None and after["info"] == "text"
            expected = after["text"].splitlines() if printed and after is not None else []
            wanted = [line.strip() for line in expected if line.strip(" …")]
            yield Command(before.count("\n") + 1, this["text"], wanted)
        elif this["info"] == "json" and (named := _WRITE.search(before)):
            yield File(named[1], this["text"])


def printed(line: str, output: str) -> bool:
    """Whether the output has this line; blanks in a row count as one."""
    pieces = [re.escape(" ".join(piece.split())) for piece in line.split("…")]
    pattern = re.compile(r"\s*.*?\s*".join(pieces))
    return any(pattern.fullmatch(" ".join(found.split())) for found in output.splitlines())
