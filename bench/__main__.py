"""Measure the spine on this machine: `python -m bench [--only NAME] [--short] [--database sqlite|postgres]`.

Each measure prints a table and writes `bench/out/NAME.json`. Only ratios within one run count: figures of another day
differ by up to two times.
"""

import argparse
import sys
from dataclasses import replace

from rich.console import Console

from bench import door, ledger, pages, report, retrieval, simulate, wordings
from bench.batches import accepted, items, run_memory, run_slots
from bench.ground import ground, make_topics
from bench.measures import MEASURES as OF_THE_PATH
from bench.sides import DATABASES, FULL, SHORT
from bench.urgent import urgent
from bench.workers import workers
from streams import runtime
from streams.logging import configure

LEDGER, SIMULATE, DOOR, PAGES, PROMPTS, RETRIEVAL = "ledger", "simulate", "door", "pages", "prompts", "retrieval"
_OF_RUNS = {"accepted": accepted, "items": items, "run-slots": run_slots, "run-memory": run_memory}
MEASURES = {**OF_THE_PATH, "urgent": urgent, "workers": workers, **_OF_RUNS}
APART = (LEDGER, SIMULATE, DOOR, PAGES, PROMPTS, RETRIEVAL)
"""They stand on no broker."""


def wishes(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", choices=[*MEASURES, *APART], action="append", help="this measure; may stand several times"
    )
    parser.add_argument("--short", action="store_true", help="two small rounds instead of five: to see that it runs")
    parser.add_argument("--database", choices=DATABASES, help="on this one only")
    parser.add_argument("--many", type=int, help="records, items or rows, where a measure is about very many")
    return parser.parse_args(arguments)


async def main(arguments: list[str]) -> None:
    wished = wishes(arguments)
    databases = [wished.database] if wished.database else list(DATABASES)
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(report.machine(), highlight=False)
    names = wished.only or [*MEASURES, *APART]
    size, short = (SHORT, ["--short"]) if wished.short else (FULL, [])
    size = replace(size, many=wished.many or size.many)
    if on_the_ground := [name for name in names if name not in APART]:
        with ground(postgres="postgres" in databases) as where:
            await make_topics(where)
            for name in on_the_ground:
                found = await MEASURES[name](where, size, databases)
                many = ["--many", str(wished.many)] if wished.many else []
                command = " ".join(["python -m bench --only", name, *short, *many])
                report.show(found, command, console)
                report.save(found, command)
    if SIMULATE in names:
        simulate.main(["--nodes", "1"] if wished.short else [])
    if DOOR in names:
        await door.main(databases, short=wished.short, console=console)
    if PAGES in names:
        await pages.main(databases, many=size.many, console=console)
    if RETRIEVAL in names:
        await retrieval.main(databases, many=size.many, short=wished.short, console=console)
    if PROMPTS in names:
        wordings.main(short=wished.short, console=console)
    if LEDGER in names:
        only = ["--database", wished.database] if wished.database else []
        await ledger.main([*short, *only, *(["--many", str(wished.many)] if wished.many else [])])


if __name__ == "__main__":
    configure("warning", "console")
    with runtime.runner() as runner:
        runner.run(main(sys.argv[1:]))
