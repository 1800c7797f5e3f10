"""`routes list|check|explain|schema`."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from streams.explaining import Question
    from streams.settings import Settings

app = typer.Typer(help="Names for models: what they stand for, and where a request would go.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]


@app.callback()
def _group() -> None:
    """Names for models: what they stand for, and where a request would go."""


@app.command()
def check(
    file: Annotated[str | None, typer.Argument(metavar="[FILE]", help="Default: that of GENAI_ROUTES.")] = None,
) -> None:
    """Read a file of routes as a worker does at its start; exit code 1 and line and column of each fault when it is broken.

    Example: genai-spine routes check routes.yaml
    """
    from providers import PROVIDERS
    from streams import naming

    settings = _settings(file)
    count = len(naming.load(settings, {*PROVIDERS, *settings.compatible}).routes)
    typer.echo(f"{settings.routes}: {count} {'route' if count == 1 else 'routes'}, in order.")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Print the routes of GENAI_ROUTES: each name with its targets, their shares, and what comes after them.

    Example: genai-spine routes list
    """
    from providers import PROVIDERS
    from streams import explaining, naming, settings

    chosen = settings.load()
    found = explaining.shown(naming.load(chosen, {*PROVIDERS, *chosen.compatible}))
    if as_json:
        typer.echo(json.dumps({"routes": found}))
    elif not chosen.routes:
        typer.echo("There are no routes: GENAI_ROUTES is not set.")
    else:
        _print_list(found)


@app.command()
def explain(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="A route, provider/model or a model.")] = None,
    operation: Annotated[str, typer.Option("--operation", "-o", help="Of the request.")] = "complete",
    body: Annotated[str | None, typer.Option("--body", help="The request as JSON; default: a short one.")] = None,
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", help="Whose request.")] = None,
    lane: Annotated[str, typer.Option("--lane", help="realtime, normal or batch.")] = "normal",
    key: Annotated[
        str | None, typer.Option("--key", help="The record's key, which arms of an experiment hang on.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print where a request would go, and why not elsewhere; no model is called. Exit code 1 when it would be refused.

    How busy targets are only a running process knows: POST /v1/routes/explain.

    Example: genai-spine routes explain fast --key user-7
    """
    import asyncio

    from streams import settings

    asked = _question(model, operation, body, tenant, lane, key)
    found = asyncio.run(_explained(settings.load(), asked))
    if as_json:
        typer.echo(json.dumps(found))
    else:
        _print_explained(found)
    if found["error"] is not None:
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the file, for an editor.

    Example: genai-spine routes schema > routes.schema.json
    """
    from schemas import routes

    typer.echo(json.dumps(routes.json_schema(), indent=2))


def _settings(file: str | None) -> "Settings":
    from streams import settings
    from streams.errors import SpineError

    chosen = settings.load()
    if file is not None:
        chosen = chosen.model_copy(update={"routes": file})
    if not chosen.routes:
        raise SpineError("There is no file of routes: name one, or set GENAI_ROUTES.", exit_code=2)
    return chosen


_SHORT: dict[str, dict[str, Any]] = {
    "classify": {"content": "Hello.", "categories": ["a", "b"]},
    "compare": {"items": ["Hello.", "Hi."]},
    "complete": {"prompt": "Hello."},
    "embed": {"texts": ["Hello."]},
}


def _question(
    model: str | None, operation: str, body: str | None, tenant: str | None, lane: str, key: str | None
) -> "Question":
    from agents import OPERATIONS
    from schemas.request import Lane
    from streams.decode import envelope
    from streams.errors import SpineError
    from streams.explaining import Question

    lanes = {each.name.lower(): each for each in Lane}
    if operation not in OPERATIONS or lane not in lanes:
        known = OPERATIONS if operation not in OPERATIONS else lanes
        wrong = operation if operation not in OPERATIONS else lane
        raise SpineError(f"{wrong!r} is not known; choose one of {', '.join(sorted(known))}.", exit_code=2)
    try:
        told = _SHORT.get(operation, {"content": "Hello."}) if body is None else json.loads(body)
    except ValueError as error:
        raise SpineError(f"--body is not JSON ({error}).", exit_code=2) from None
    if not isinstance(told, dict):
        raise SpineError('--body is a JSON object, such as {"prompt": "Hello."}.', exit_code=2)
    record = envelope(told)
    options = record.get("options", {})
    if model is not None and isinstance(options, dict):
        record["options"] = options | {"model": model}
    if tenant is not None:
        record["tenant"] = tenant
    return Question(operation, record, lanes[lane], key=None if key is None else key.encode())


async def _explained(settings: "Settings", asked: "Question") -> dict[str, Any]:
    from dataclasses import replace

    from streams import explaining, library
    from streams.configured import make_decoder
    from streams.providing import make_prices, make_providers

    made = make_providers(settings)
    try:
        decoder = make_decoder(settings, made, library.load(settings))
        found = explaining.explain(replace(asked, tenant=settings.default_tenant), decoder, make_prices(settings))
        return await explaining.checked(found, decoder.router)
    finally:
        for each in made.values():
            await each.aclose()


def _print_list(found: list[dict[str, Any]]) -> None:
    from rich.console import Console

    from streams.showing import plain
    from streams.tabling import Row, listed

    rows = [
        Row(
            {
                "route": plain(each["name"]),
                "targets": plain(", ".join(_share(leg, each["targets"]) for leg in each["targets"])),
                "then": plain(", ".join(leg["model"] for leg in each["fallbacks"])),
                "sticky": each["sticky"] or "",
            }
        )
        for each in found
    ]
    console = Console(highlight=False)
    console.print(listed(rows, console.width))


def _share(leg: dict[str, Any], legs: list[dict[str, Any]]) -> str:
    if len(legs) == 1:
        return str(leg["model"])
    return f"{leg['model']} {leg['weight'] / sum(each['weight'] for each in legs):.0%}"


def _print_explained(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    from streams.showing import plain
    from streams.tabling import Row, listed

    console = Console(highlight=False)
    if found["route"] is not None:
        arm = f", arm {found['arm']}" if found["arm"] else ""
        console.print(Text(plain(f"route {found['route']}{arm}")))
    rows = [
        Row(
            {
                "target": plain(each["target"]),
                "taken": "yes" if each["taken"] else "",
                "why not": plain(each["why"]),
                "about $": each["estimate"]["cost_usd"] or "unknown",
            }
        )
        for each in found["targets"]
    ]
    if rows:
        console.print(listed(rows, console.width))
    if found["error"] is not None:
        Console(stderr=True, highlight=False).print(Text(plain(found["error"]["message"])))
