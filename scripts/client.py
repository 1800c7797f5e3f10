"""Writes what the Python client shares: `python -m scripts.client`.

- `schemas/` of the client is the room `schemas`, with the imports of its own name: the models are written once, here.
- `_sync/` of the client is its `_async/` without `async`: what can be asked is written once, there.

A test holds the files against what this makes.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.shipped import ROOT

PACKAGE = ROOT / "clients" / "python" / "src" / "genai_spine_client"
_ROOM = re.compile(r"^(\s*)(from|import) schemas\b", re.MULTILINE)
_MADE = "# Made by `python -m scripts.client` from {source}; change it there.\n"

SYNC = (
    (r"async (def|for|with) ", r"\1 "),
    (r"\bawait ", ""),
    (r", with `await`; `_sync` is made from it", ", without `await`"),
    (r"\b__aenter__\b", "__enter__"),
    (r"\b__aexit__\b", "__exit__"),
    (r"\ba(closing|close|read|iter_bytes)\b", r"\1"),
    (r"\bAsyncGenerator\[(.+?), None\]", r"Generator[\1, None, None]"),
    (r"\bAsync(Generator|Iterator|Iterable|GenAIClient|Operations|Prompts|Runs|Requests|Transport)\b", r"\1"),
    (r"\bhttpx\.Async(Client|BaseTransport)\b", r"httpx.\1"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"^import asyncio\n", ""),
    (r"\bchunks_async\b", "chunks"),
    (r"genai_spine_client\._async\b", "genai_spine_client._sync"),
)
"""From `_async` to `_sync`, in this order."""


def files() -> dict[Path, str]:
    """Each file that is made, and what it holds."""
    made = {}
    for source in sorted((ROOT / "schemas").glob("*.py")):
        text = _ROOM.sub(r"\1\2 genai_spine_client.schemas", source.read_text(encoding="utf-8"))
        made[PACKAGE / "schemas" / source.name] = _MADE.format(source=f"schemas/{source.name}") + text
    for source in sorted((PACKAGE / "_async").glob("*.py")):
        text = source.read_text(encoding="utf-8")
        for pattern, plain in SYNC:
            text = re.sub(pattern, plain, text, flags=re.MULTILINE)
        made[PACKAGE / "_sync" / source.name] = _MADE.format(source=f"_async/{source.name}") + text
    return _tidy(made)


def _tidy(made: dict[Path, str]) -> dict[Path, str]:
    """As the linter wants it: other names are sorted and wrapped elsewhere."""
    config = ROOT / "pyproject.toml"
    with tempfile.TemporaryDirectory() as folder:
        there = {path: Path(folder) / path.relative_to(PACKAGE) for path in made}
        for path, copy in there.items():
            copy.parent.mkdir(exist_ok=True)
            copy.write_text(made[path], encoding="utf-8")
        for command in (["check", "--select", "I", "--fix-only"], ["format"]):
            subprocess.run(  # noqa: S603 - our own linter
                [sys.executable, "-m", "ruff", *command, "--quiet", "--no-cache", "--config", config, folder],
                check=True,
                cwd=ROOT,
            )
        return {path: copy.read_text(encoding="utf-8") for path, copy in there.items()}


def main() -> None:
    """Write what differs, and take away what nothing makes any more."""
    made = files()
    for folder in {path.parent for path in made}:
        folder.mkdir(exist_ok=True)
        for path in set(folder.glob("*.py")) - made.keys():
            path.unlink()
    for path, text in made.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
