"""`replay`, and `replay diff|resume|list`."""

import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.errors import Exit, SpineError

if TYPE_CHECKING:
    from schemas.replay import Comparison, ReplayPlan, ReplayReport
    from store.ledger.replays import Run
    from streams.replay.parts import Parts
    from streams.replay.running import Job
    from streams.settings import Settings

app = typer.Typer(invoke_without_command=True)

_Json = Annotated[bool, typer.Option("--json", help="One JSON object, for a program.")]
_Run = Annotated[str, typer.Argument(metavar="RUN", help="As it was printed; `replay list` shows them.")]
_SHOWN = 50
_ZERO = "With a budget of 0 only models that cost nothing are asked."


# longer than 50 lines for its options alone, each of which Typer reads from the signature
@app.callback()
def replay(
    ctx: typer.Context,
    first: Annotated[str | None, typer.Option("--from", help="Accepted from this UTC day, or moment, on.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="To this UTC day (included), or moment.")] = None,
    topic: Annotated[str | None, typer.Option(help="Whose record stood in this request topic.")] = None,
    partition: Annotated[int | None, typer.Option(help="Of --topic.")] = None,
    from_offset: Annotated[int | None, typer.Option(help="Of --partition; included.")] = None,
    to_offset: Annotated[int | None, typer.Option(help="Of --partition; included.")] = None,
    ids: Annotated[list[str] | None, typer.Option("--id", help="This request; can be repeated.")] = None,
    ids_file: Annotated[Path | None, typer.Option("--ids", help="A file with one id a line.")] = None,
    status: Annotated[
        str | None, typer.Option("--status", "-s", help="Some of succeeded, failed, cancelled, expired; by commas.")
    ] = None,
    operation: Annotated[str | None, typer.Option("--operation", "-o", help="Only this operation.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", help="Only this tenant.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="Only this run.")] = None,
    dlq: Annotated[bool, typer.Option("--dlq", help="Whose dead letter is open.")] = False,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Publish recorded answers and usage again; no call.")
    ] = False,
    anew: Annotated[bool, typer.Option("--anew", help="Ask again beside, into genai.replays; needs --budget.")] = False,
    model: Annotated[str | None, typer.Option(help="With --anew: another model.")] = None,
    provider: Annotated[str | None, typer.Option(help="With --anew: another provider.")] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="SLUG@VERSION", help="With --anew: another prompt, for execute_prompt.")
    ] = None,
    budget: Annotated[str | None, typer.Option(metavar="USD", help="With --anew: dollars it may cost at most.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would do.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: _Json = False,
) -> None:
    """Replay requests of before: says what it would do, asks, does it. Without a mode it runs again what has not succeeded.

    Example: genai-spine replay --from 2026-11-20 --status failed --dry-run
    """
    if ctx.invoked_subcommand is not None:
        return
    from streams import settings
    from streams.replay import choosing, running

    chosen = settings.load()
    _modes(recorded, anew, budget, {"--model": model, "--provider": provider, "--prompt": prompt, "--budget": budget})
    if as_json and not (yes or dry_run):
        raise SpineError("--json asks no question: add --yes or --dry-run.", exit_code=2)
    told = choosing.Told(
        first, last, topic, partition, from_offset, to_offset, tuple(ids or ()), status, operation, tenant, run
    )
    job = running.Job(
        "recorded" if recorded else "anew" if anew else "again",
        told,
        ids_file,
        dlq,
        running.otherwise(provider, model, prompt),
        None if budget is None else choosing.budget(budget),
    )
    _interruptible(lambda said: _replay(chosen, job, said, dry_run=dry_run, yes=yes), as_json)


def try_prompt(pks: Sequence[int], tenant: str, prompt: str, budget: str, *, yes: bool, as_json: bool) -> None:
    """Ask these anew with `prompt`, and tell how the answers differ; nothing is published, so no broker is needed."""
    from dataclasses import replace

    from streams import settings
    from streams.replay import choosing, running

    told = choosing.Told(tenant=tenant)
    otherwise = replace(running.otherwise(None, None, prompt), quiet=True)
    job = running.Job("anew", told, otherwise=otherwise, budget_nano=choosing.budget(budget), pks=tuple(pks))
    chosen = settings.load()
    _interruptible(lambda said: _replay(chosen, job, said, dry_run=False, yes=yes), as_json)


def _modes(recorded: bool, anew: bool, budget: str | None, only_anew: dict[str, str | None]) -> None:
    if recorded and anew:
        raise SpineError("--recorded calls nothing and --anew does: choose one.", exit_code=2)
    if anew and budget is None:
        raise SpineError("--anew needs --budget: how many dollars it may cost at most; 0 for free models.", exit_code=2)
    for name, value in only_anew.items():
        if value is not None and not anew:
            raise SpineError(f"{name} goes with --anew.", exit_code=2)


@app.command()
def resume(
    run: _Run,
    budget: Annotated[
        str | None, typer.Option(metavar="USD", help="Of --anew, instead of the first one; for all of the run.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Go on with a run that was stopped, or that left requests out. Nothing is asked or paid a second time.

    Example: genai-spine replay resume 20261121-101500-a1b2c3 --budget 5
    """
    from streams import settings
    from streams.replay import choosing

    chosen = settings.load()
    nano = None if budget is None else choosing.budget(budget)
    _interruptible(lambda said: _resume(chosen, run, nano, said), as_json)


@app.command("diff")
def diff_(
    run: _Run,
    all_: Annotated[bool, typer.Option("--all", help="A line for every request, also where nothing differs.")] = False,
    as_json: _Json = False,
) -> None:
    """Print how the answers of a `--anew` differ from those of before: same, changed, failed; cost and latency of both.

    Example: genai-spine replay diff 20261121-101500-a1b2c3
    """
    import asyncio

    from streams import settings

    found = asyncio.run(_diff(settings.load(), run))
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        _print_diff(found, whole=all_)


@app.command("list")
def list_(
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many of the newest.")] = 20,
    as_json: _Json = False,
) -> None:
    """Print the newest replays: what each did, how far it is.

    Example: genai-spine replay list
    """
    import asyncio

    from streams import settings

    found = asyncio.run(_list(settings.load(), number))
    if as_json:
        for item in found:
            typer.echo(json.dumps(item))
        return
    for item in found:
        state = "ended" if item["ended"] else "can be gone on with"
        cost = f", {item['spent_usd']} of {item['budget_usd']} dollars" if item["budget_usd"] else ""
        typer.echo(f"{item['run']}  {item['mode']:<8}  {item['sent']} sent{cost}, {state}")
    if not found:
        typer.echo("There are no replays.", err=True)


class _Said:
    """Which run is under way, for who presses Ctrl-C, and what came out of it."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.plan: ReplayPlan | None = None
        self.report: ReplayReport | None = None
        self.comparison: Comparison | None = None


def _interruptible(work: Callable[[_Said], Awaitable[None]], as_json: bool) -> None:
    import asyncio

    said = _Said()

    async def whole() -> None:
        await work(said)

    try:
        asyncio.run(whole())
    except KeyboardInterrupt:
        if said.run is not None:
            name = said.run.run
            _tell(f"Stopped. `genai-spine replay resume {name}` goes on; nothing is asked or paid a second time.")
            if said.run.mode == "anew":
                _tell("What was asked already still runs; a cancel of that run ends it.")
        raise typer.Exit(Exit.INTERRUPTED) from None
    _outcome(said, as_json)


def _outcome(said: _Said, as_json: bool) -> None:
    if as_json:
        told: dict[str, Any] = {}
        for name, found in (("plan", said.plan), ("report", said.report), ("diff", said.comparison)):
            if found is not None:
                told[name] = found.model_dump(mode="json")
        typer.echo(json.dumps(told))
    elif said.comparison is not None:
        _print_diff(said.comparison, whole=False)
    if said.report is None:
        return
    if not as_json:
        _print_report(said.report)
    if said.report.left_out:
        raise typer.Exit(Exit.FAILED)


async def _replay(settings: "Settings", job: "Job", said: _Said, *, dry_run: bool, yes: bool) -> None:
    from streams import where
    from streams.replay import parts, running

    bootstrap = where.bootstrap(settings) if job.dead or not (dry_run or job.otherwise.quiet) else None
    async with parts.opened(settings, bootstrap) as opened:
        job = running.settled(opened, job)
        wanted, missing = await running.choose(opened, job, bootstrap, _tell)
        said.plan = await running.counted(opened, job, wanted, missing)
        _print_plan(said.plan)
        if job.budget_nano == 0:
            _tell(_ZERO)
        if dry_run or not _something(said.plan):
            return
        _ask(yes)
        said.run = await running.begin(opened, job, wanted)
        await _feed(opened, said)


async def _resume(settings: "Settings", name: str, budget_nano: int | None, said: _Said) -> None:
    from streams import where
    from streams.replay import parts, running

    async with parts.opened(settings, None) as opened:
        quiet = bool((await running.load(opened, name)).options.get("quiet"))
    async with parts.opened(settings, None if quiet else where.bootstrap(settings)) as opened:
        said.run = await running.reopened(opened, name, budget_nano)
        await _feed(opened, said)


async def _feed(opened: "Parts", said: _Said) -> None:
    from streams.replay import running

    assert said.run is not None
    _tell(f"Run {said.run.run}.")
    said.report = await running.feed(opened, said.run, _tell)
    if said.run.mode == "anew":
        said.comparison = await running.compared(opened, said.run.run)


async def _diff(settings: "Settings", run: str) -> "Comparison":
    from streams.replay import parts, running

    async with parts.opened(settings, None) as opened:
        return await running.compared(opened, run)


async def _list(settings: "Settings", number: int) -> list[dict[str, Any]]:
    from store.ledger import replays
    from streams import lookup, postgres
    from streams.replay import running

    async with lookup.opened(postgres.resolved(settings)) as database:
        found = await database.read(lambda conn: replays.latest(conn, number))
    return [running.listed(run) for run in found]


def _tell(words: str) -> None:
    typer.echo(words, err=True)


def _something(plan: "ReplayPlan") -> bool:
    """Whether its mode has anything to do; says so where it has not."""
    if plan.mode == "again" and not plan.again.requests:
        else_ = "; --recorded publishes its answers again, --anew asks beside" if plan.recorded.requests else ""
        _tell(f"Nothing of it can be run again{else_}.")
        return False
    if plan.mode == "anew" and not plan.anew.requests:
        _tell("Nothing of it has ended with its record kept, so nothing can be asked anew.")
        return False
    return True


def _ask(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise SpineError("Nobody can be asked here: add --yes to do it, or --dry-run to only look.", exit_code=2)
    if not typer.confirm("Do it?", err=True):
        raise typer.Exit(Exit.OK)


def _print_plan(plan: "ReplayPlan") -> None:
    """On standard error: with --json standard output is for the program."""
    for group in plan.groups:
        _tell(f"{group.operation:<15} {group.status:<10} {group.requests:>8}   cost {group.recorded_usd} dollars")
    if plan.missing:
        _tell(plan.missing)
    if plan.unfinished:
        _tell(f"{plan.unfinished} have not ended and are left alone.")
    if plan.unkept:
        _tell(f"{plan.unkept} have ended, but their answers are no longer kept (GENAI_KEEP_BODIES_DAYS).")
    again = f"{plan.again.requests} would run again, for about {plan.again.about_usd} dollars. Or, of all whose answers are kept: "
    beside = f"--recorded would publish {plan.recorded.requests} answers again, for nothing; --anew would ask beside."
    told = {
        "recorded": f"{plan.recorded.requests} answers would be published again, and the usage that is recorded; no call is made.",
        "again": again + beside,
        "anew": f"{plan.anew.requests} would be asked anew, for about {plan.anew.about_usd} and at most "
        f"{plan.anew.most_usd} dollars; the budget is {plan.budget_usd}.",
    }
    _tell(told[plan.mode])
    if plan.mode == "anew" and plan.anew.unpriced:
        _tell(f"{plan.anew.unpriced} have no price, so they would be left out; GENAI_PRICES prices them.")


def _print_report(report: "ReplayReport") -> None:
    told = {
        "recorded": f"{report.results} results and {report.usage_events} usage events published again.",
        "again": f"{report.sent} records sent again.",
        "anew": f"{report.sent} asked anew, for {report.spent_usd} dollars.",
    }[report.mode]
    _tell(told)
    if report.left_alone:
        _tell(f"{report.left_alone} left alone: not ended, succeeded already, no request, or no longer kept.")
    if report.left_out:
        words = "left out: beyond the budget, without a price, or no longer kept"
        _tell(f"{report.left_out} {words}. `genai-spine replay resume {report.run} --budget USD` asks them too.")


def _print_diff(found: "Comparison", *, whole: bool) -> None:
    from rich.console import Console

    from streams.showing import plain
    from streams.tabling import Row, listed

    console = Console(highlight=False)
    told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.counts.items())
    typer.echo(f"{found.run}: {told}")
    for name, side in (("before", found.original), ("anew", found.replay)):
        models = ", ".join(map(plain, side.models)) or "-"
        typer.echo(f"{name:<7} {side.cost_usd} dollars, {side.latency_ms_median} ms (median), {models}")
    if found.fields:
        typer.echo("differ: " + ", ".join(f"{plain(path)} ({count})" for path, count in found.fields.items()))
    shown = [item for item in found.items if whole or item.outcome != "same"]
    most = len(shown) if whole else _SHOWN
    rows = [
        Row(
            {
                "id": plain(item.id),
                "outcome": item.outcome.replace("_", " "),
                "operation": item.operation,
                "differ": plain(", ".join(item.fields)),
                "dollars": _both(item.original and item.original.cost_usd, item.replay and item.replay.cost_usd),
                "ms": _both(item.original and item.original.latency_ms, item.replay and item.replay.latency_ms),
            }
        )
        for item in shown[:most]
    ]
    if rows:
        console.print(listed(rows, console.width))
    if len(shown) > most:
        _tell(f"{len(shown) - most} more; --all shows them.")
    for each in found.examples:
        typer.echo(f"{plain(each.id)}, {plain(each.field)}:")
        typer.echo(f"  before  {plain(each.before)}")
        typer.echo(f"  anew    {plain(each.after)}")


def _both(before: object, anew: object) -> str:
    return f"{'-' if before is None else before} → {'-' if anew is None else anew}"
