"""A day of arrivals on many nodes, on the very functions that order the rows: `python -m bench.simulate [--nodes 1 10]`.

Once with one model on all nodes (`bench.day`), once with more models than a node holds (`bench.placed`). Written to
`bench/out/simulate.json` and `simulate.svg`; the same seed gives the same day.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from bench import chart, placed, report
from bench.day import LANE_NAMES, PATIENCE_S, Arrival, Day, Outcome, arrivals, simulate
from store.ledger.order import Pair


def told(day: Day, outcome: Outcome) -> list[report.Line]:
    """The table of a day."""
    side = f"{day.nodes} nodes, {day.workers} workers"
    lines = []
    for lane, waits in enumerate(outcome.waits):
        for share in (0.5, 0.95, 0.99):
            if waits:
                found = report.percentile(waits, share)
                lines.append(report.Line(side, f"{LANE_NAMES[lane]} waits, p{100 * share:.0f}", "s", [found]))
    busy = outcome.busy_s / (outcome.ended_at * day.slots)
    lines.append(report.Line(side, "slots busy", "", [busy]))
    shares = [outcome.tokens[name] / outcome.asked[name] for name in outcome.asked]
    lines.append(report.Line(side, "served of what each tenant asked", "", shares))
    return lines


def contended(day: Day) -> report.Line:
    """All tenants at once, for an hour, ask for more than there is: the smallest share of the tokens over the fair one."""
    coming = [
        replace(
            what, at=0.0, pair=Pair(1, f"t{i % day.tenants}"), row=what.row._replace(accepted_at=0.0, due=PATIENCE_S)
        )
        for i, what in enumerate(arrivals(replace(day, hours=1.0, load=1.0)))
    ]
    served = simulate_for(day, coming, 900.0)
    fair = sum(served.values()) / day.tenants
    least = min(served[f"t{i}"] for i in range(day.tenants)) / fair
    figure = f"least of {day.tenants} backlogged tenants, of its fair share"
    return report.Line(f"{day.nodes} nodes, {day.workers} workers", figure, "", [least], "≥ 0.5", least >= 0.5)


def simulate_for(day: Day, coming: Sequence[Arrival], seconds: float) -> Counter[str]:
    """The tokens that were begun in so many seconds, by tenant."""
    begun: Counter[str] = Counter()

    def watch(what: Arrival, now: float) -> float:
        if now <= seconds:
            begun[what.pair.tenant] += what.row.weight
        return 0.0

    simulate(day, coming, watch)
    return begun


def drawn_of(title: str, day: Day, outcome: Outcome) -> list[chart.Chart]:
    """Rows that wait, and slots at work, over the day."""
    curves = {LANE_NAMES[lane]: points for lane, points in outcome.backlog.items()}
    work = {"at work": outcome.at_work, "there": [(0.0, day.slots), (outcome.ended_at / 3_600.0, day.slots)]}
    return [
        chart.Chart(f"{title}: rows that wait, by lane", "hours", "rows", curves),
        chart.Chart(f"{title}: slots", "hours", "slots", work),
    ]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser("bench.simulate", description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 10, 50, 200], help="how many, a day each")
    parser.add_argument("--workers", type=int, default=3, help="processes that share the slots")
    parser.add_argument("--load", type=float, default=0.85, help="of what the slots can do, on average")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--models", type=int, default=6, help="of the second day, on nodes that hold one at a time; 0: none"
    )
    parser.add_argument("--load-s", type=float, default=8.0, help="what loading a model takes")
    wished = parser.parse_args(arguments)

    lines: list[report.Line] = []
    notes: list[str] = []
    charts: list[chart.Chart] = []
    for nodes in wished.nodes:
        day = Day(nodes, load=wished.load, hours=wished.hours, workers=wished.workers, seed=wished.seed)
        began = time.perf_counter()
        coming = arrivals(day)
        outcome = simulate(day, coming)
        lines += [*told(day, outcome), contended(day)]
        notes.append(f"{nodes} nodes: {len(coming):,} requests in {time.perf_counter() - began:.0f} s")
        charts += drawn_of(f"{nodes} nodes", day, outcome)
        if wished.models:
            models = placed.Models(wished.models, wished.load_s)
            began = time.perf_counter()
            found = placed.simulate(day, models, coming)
            lines += placed.told(day, models, coming, found)
            notes.append(f"{nodes} nodes, {wished.models} models: {time.perf_counter() - began:.0f} s")
            title = f"{nodes} nodes, {wished.models} models"
            charts += drawn_of(title, day, found.outcome)
            charts.append(chart.Chart(f"{title}: loads so far", "hours", "loads", {"loads": found.loads}))
    what = f"a day of {wished.hours:g} h at {wished.load:g} of the slots, seed {wished.seed}"
    made = report.Report("simulate", what, lines, notes)
    command = " ".join(["python -m bench.simulate", *arguments])
    report.show(made, command, Console(width=None if sys.stdout.isatty() else 140))
    report.save(made, command)
    (report.OUT / "simulate.svg").write_text(chart.drawn(charts))


if __name__ == "__main__":
    main(sys.argv[1:])
