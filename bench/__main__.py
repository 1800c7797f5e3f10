"""Measure the spine on this machine: `python -m bench [--only NAME] [--short] [--database sqlite|postgres]`.

Each measure prints a table and writes `bench/out/NAME.json`. Only ratios within one run count: figures of another day
differ by up to two times.
"""

import argparse
import sys

from rich.console import Console

from bench import door, ledger, report, simulate
from bench.ground import ground, make_topics
from bench.measures import MEASURES as OF_THE_PATH
from bench.sides import DATABASES, FULL, SHORT
from bench.urgent import urgent
from streams import runtime
from streams.logging import configure

LEDGER, SIMULATE, DOOR = "ledger", "simulate", "door"
MEASURES = {**OF_THE_PATH, "urgent": urgent}
APART = (LEDGER, SIMULATE, DOOR)
"""They stand on no broker."""


def wishes(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", choices=[*MEASURES, *APART], action="append", help="this measure; may stand several times"
    )
    parser.add_argument("--short", action="store_true", help="two small rounds instead of five: to see that it runs")
    parser.add_argument("--database", choices=DATABASES, help="on this one only")
    return parser.parse_args(arguments)


async def main(arguments: list[str]) -> None:
    wished = wishes(arguments)
    databases = [wished.database] if wished.database else list(DATABASES)
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(report.machine(), highlight=False)
    names = wished.only or [*MEASURES, *APART]
    size, short = (SHORT, ["--short"]) if wished.short else (FULL, [])
    if on_the_ground := [name for name in names if name not in APART]:
        with ground(postgres="postgres" in databases) as where:
            await make_topics(where)
            for name in on_the_ground:
                found = await MEASURES[name](where, size, databases)
                command = " ".join(["python -m bench --only", name, *short])
                report.show(found, command, console)
                report.save(found, command)
    if SIMULATE in names:
        simulate.main(["--nodes", "1"] if wished.short else [])
    if DOOR in names:
        await door.main(databases, short=wished.short, console=console)
    if LEDGER in names:
        await ledger.main(short + (["--database", wished.database] if wished.database else []))


if __name__ == "__main__":
    configure("warning", "console")
    with runtime.runner() as runner:
        runner.run(main(sys.argv[1:]))
