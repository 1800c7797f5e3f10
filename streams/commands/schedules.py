"""`schedules list|show|check|next|pause|resume|run`: at a running API; `check`, and `next` of an expression, need none."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.commands.runs import door_of, said

if TYPE_CHECKING:
    from streams.settings import Settings

app = typer.Typer(help="Schedules: which run is submitted when.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]
_Url = Annotated[str | None, typer.Option(help="The API's address; default: the `up` here, else the settings'.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]


@app.command("list")
def list_(url: _Url = None, as_json: _Json = False) -> None:
    """Print all schedules: when they fire next, and how their last run went; and which process fires them.

    Example: genai-spine schedules list
    """
    with door_of(url) as client:
        found = said(client.get("/v1/schedules"))
    if as_json:
        typer.echo(json.dumps(found))
        return
    if not found["items"]:
        typer.echo("There are no schedules; PUT /v1/schedules/NAME makes one, or a file in GENAI_SCHEDULES_FILE.")
        return
    _print(found["items"])
    leader = found["leader"]
    led = f"{leader['worker']} fires them since {leader['since']}." if leader else "Nobody fires them yet."
    typer.echo(led)
    if not found["file"]["ok"]:
        typer.echo(found["file"]["why"], err=True)


@app.command()
def show(name: _Name, url: _Url = None, as_json: _Json = False) -> None:
    """Print one schedule: its run, its next firings, its last run and what was counted.

    Example: genai-spine schedules show cost_rollup
    """
    _show(_asked("get", name, url=url), as_json)


@app.command()
def check(
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="Default: that of GENAI_SCHEDULES_FILE.")] = None,
) -> None:
    """Read a file of schedules as a process does at its start; exit code 1 and line and column of each fault when it is broken.

    Example: genai-spine schedules check schedules.yaml
    """
    import asyncio

    from streams import settings
    from streams.errors import SpineError

    chosen = settings.load()
    if file is not None:
        chosen = chosen.model_copy(update={"schedules_file": file})
    if not chosen.schedules_file:
        raise SpineError("There is no file of schedules: name one, or set GENAI_SCHEDULES_FILE.", exit_code=2)
    count = asyncio.run(_checked(chosen))
    typer.echo(f"{chosen.schedules_file}: {count} {'schedule' if count == 1 else 'schedules'}, in order.")


@app.command("next")
def next_(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A schedule of a running API.")] = None,
    cron: Annotated[str | None, typer.Option(help="An expression of five fields, instead of a name.")] = None,
    timezone: Annotated[str, typer.Option(help="Its time zone.")] = "UTC",
    number: Annotated[int, typer.Option("-n", "--number", min=1, max=100, help="How many.")] = 5,
    url: _Url = None,
    as_json: _Json = False,
) -> None:
    """Print when a schedule fires next, in its own time zone and in UTC; with --cron an expression, and nobody is asked.

    Example: genai-spine schedules next --cron "30 2 * * *" --timezone Europe/Vienna
    """
    from streams.errors import SpineError

    if (name is None) == (cron is None):
        raise SpineError("Name a schedule, or give an expression with --cron.", exit_code=2)
    if name is not None:
        found = _asked("get", name, url=url, params={"next": str(number)})
        zone, times = found["timezone"], list(found["next"])
    else:
        zone, times = timezone, _times(cron or "", timezone, number)
    if as_json:
        typer.echo(json.dumps(times))
        return
    for told in times:
        typer.echo(_moment(told, zone))
    if not times:
        typer.echo("It is paused, or never fires again.")


@app.command()
def pause(name: _Name, url: _Url = None) -> None:
    """Nothing fires until it is resumed; what falls due meanwhile is left out.

    Example: genai-spine schedules pause cost_rollup
    """
    _asked("post", name, "/pause", url=url)
    typer.echo(f"{name} is paused.")


@app.command()
def resume(name: _Name, url: _Url = None) -> None:
    """It fires again, from its next planned time on.

    Example: genai-spine schedules resume cost_rollup
    """
    found = _asked("post", name, "/resume", url=url)
    typer.echo(f"{name} fires next at {_moment(found['next_at'], found['timezone'])}.")


@app.command()
def run(name: _Name, url: _Url = None, as_json: _Json = False) -> None:
    """Submit its run now, out of turn; the next firing stays as planned.

    Example: genai-spine schedules run cost_rollup
    """
    found = _asked("post", name, "/run", url=url)
    if as_json:
        typer.echo(json.dumps(found["last"]))
        return
    typer.echo(f"{found['last']['run_id']}  {found['run']['name']}  {found['last']['status']}")


def _asked(method: str, name: str, path: str = "", *, url: str | None, params: Any = None) -> dict[str, Any]:
    from urllib.parse import quote

    with door_of(url) as client:
        return said(client.request(method.upper(), f"/v1/schedules/{quote(name, safe='')}{path}", params=params))


async def _checked(settings: "Settings") -> int:
    """The prompts of the registry are not known here; the rest is checked as at a start."""
    from streams import library, shelves
    from streams.configured import make_decoder
    from streams.providing import make_providers
    from streams.schedules import file

    made = make_providers(settings)
    try:
        return len(file.load(settings, make_decoder(settings, made, library.load(settings)), shelves.load(settings)))
    finally:
        for each in made.values():
            await each.aclose()


def _times(cron: str, timezone: str, number: int) -> list[str]:
    import time

    from streams.errors import SpineError
    from streams.schedules import cron as crons
    from streams.schedules import filling

    try:
        zone = crons.zone_of(timezone)
        crons.check(cron, zone, time.time())
    except ValueError as error:
        words = f"{str(error)[:1].upper()}{str(error)[1:]}"
        raise SpineError(words if words.endswith("?") else f"{words}.", exit_code=2) from None
    return [filling.moment(at) for at in crons.upcoming(cron, zone, time.time(), number)]


def _moment(told: str, zone: str) -> str:
    """`2026-11-22 00:10 CET (2026-11-21T23:10:00Z)`."""
    from datetime import datetime

    from streams.schedules.cron import zone_of

    if zone == "UTC":
        return told
    return f"{datetime.fromisoformat(told).astimezone(zone_of(zone)):%Y-%m-%d %H:%M %Z} ({told})"


def _print(items: list[dict[str, Any]]) -> None:
    from rich.console import Console

    from streams.showing import plain
    from streams.tabling import Row, listed

    rows = [
        Row(
            {
                "schedule": each["name"],
                "cron": f"{each['cron']}  {each['timezone']}",
                "run": plain(each["run"]["name"]),
                "next": "paused" if each["paused"] else each["next_at"] or "never",
                "last": each["last"]["planned_at"] if each["last"] else "",
                "run id": plain(each["last"]["run_id"]) if each["last"] else "",
                "status": plain(each["error"] or (each["last"] or {}).get("status") or ""),
            }
        )
        for each in items
    ]
    console = Console(highlight=False)
    console.print(listed(rows, console.width))


def _show(found: dict[str, Any], as_json: bool) -> None:
    from streams.showing import plain

    if as_json:
        typer.echo(json.dumps(found))
        return
    said = f"{found['cron']}  {found['timezone']}  overlap {found['overlap']}" + (
        "" if found["catch_up"] else ", no catching up"
    )
    typer.echo(f"{found['name']}  ({found['source']})  {said}")
    if found["description"]:
        typer.echo(f"  {plain(found['description'])}")
    typer.echo(f"  run: {plain(json.dumps(found['run'], ensure_ascii=False))}")
    next_at = _moment(found["next_at"], found["timezone"]) if found["next_at"] else "never again"
    typer.echo("  paused" if found["paused"] else f"  next: {next_at}")
    if found["queued_at"]:
        typer.echo(f"  waits for the run before: {found['queued_at']}")
    if last := found["last"]:
        typer.echo(f"  last: {last['planned_at']}, run at {last['fired_at']}: {plain(last['run_id'])} {last['status']}")
    if found["error"]:
        typer.echo(f"  could not be submitted: {plain(found['error'])}")
    typer.echo("  " + ", ".join(f"{found[name]} {name}" for name in ("fired", "skipped", "missed", "failed")))
