"""What a prompt of the registry costs a request, beside the request itself: `python -m bench --only prompts`.

Found by its label, its variables checked, pinned, found again by its pin and rendered: all that happens of it between a
caller's words and a model's, in the library of a process that knows as many prompts as a large application has.
"""

import gc
import time
from functools import partial
from typing import Any

from rich.console import Console

from agents.base import Whose
from agents.execute_prompt import OPERATION
from bench import report
from bench.report import Line, Report, at_most, percentile
from prompts import Library, Pin
from prompts.kept import Kept, Read
from prompts.registered import Entry, wording
from schemas.execute_prompt import Input

PROMPTS, VERSIONS, TENANT, LABEL = 1_000, 3, "acme", "production"
_WARM = 2_000
_TEXT = "Apple shipped more phones in the quarter than ever, it said on Tuesday. Analysts had expected fewer. " * 10
TEMPLATE = """Summarize for {{ audience }} in at most {{ sentences }} sentences.
{% if focus %}Pay attention to {{ focus }}.{% endif %}
{% for rule in rules %}- {{ rule }}
{% endfor %}
{{ content }}"""
_VARIABLES = [
    {"name": "content", "type": "content"},
    {"name": "audience", "type": "text", "default": "an analyst"},
    {"name": "sentences", "type": "integer", "default": 3},
    {"name": "focus", "type": "text", "default": None},
    {"name": "rules", "type": "texts", "default": ["Name the source.", "Keep all figures."]},
]


def library() -> Library:
    """The shipped one, and the registry's own beside it, all of it in memory."""
    found, entries, kept = Library.load(), [_entry(number) for number in range(PROMPTS)], Kept()
    for entry in entries:
        for version in entry.versions:
            kept.put({(entry.id, version): Read(partial(wording, entry.id, entry.slug, "", _said(version)), 0)})
    found.register(entries, kept)
    return found


def _entry(number: int) -> Entry:
    versions = tuple(range(1, VERSIONS + 1))
    return Entry(f"p{number}", TENANT, f"prompt-{number}", "", True, False, versions, {LABEL: ((2, 1),)})


def _said(version: int) -> dict[str, Any]:
    user = f"{TEMPLATE}\n\nVersion {version}."
    return {"version": version, "notes": "first", "system": "You are careful.", "user": user, "variables": _VARIABLES}


def measure(*, rounds: int, requests: int) -> Report:
    """One request after another, each of another prompt."""
    known = library()
    for number in range(_WARM):
        _one(known, number)
    gc.freeze()
    middle, tail = [], []
    for _ in range(rounds):
        took = []
        for number in range(requests):
            began = time.perf_counter()
            _one(known, number)
            took.append(1000 * (time.perf_counter() - began))
        middle.append(percentile(took, 0.5))
        tail.append(percentile(took, 0.99))
    lines = [at_most("library", "p50", "ms", middle, 0.3), Line("library", "p99", "ms", tail)]
    return Report("prompts", f"resolve and render, {PROMPTS:,} prompts of {VERSIONS} versions", lines)


def _one(known: Library, number: int) -> None:
    asked = Input(
        prompt=f"prompt-{number % PROMPTS}",
        label=LABEL,
        variables={"content": f"{number}: {_TEXT}", "focus": "figures"},
    )
    assert OPERATION.pin is not None
    pinned = OPERATION.pin(asked, known, Whose(TENANT, f"r{number}"))
    made = known.pinned(Pin.read(pinned)).render(asked.variables)
    if not made.user.startswith("Summarize for an analyst"):
        raise RuntimeError(f"rendered as {made.user[:200]!r}")


def main(*, short: bool, console: Console) -> None:
    """Measures, shows and saves."""
    found = measure(rounds=2 if short else 5, requests=2_000 if short else 10_000)
    command = "python -m bench --only prompts" + (" --short" if short else "")
    report.show(found, command, console)
    report.save(found, command)
