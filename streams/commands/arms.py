"""`prompts arms`: the versions of a label held against each other."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

import typer

from streams.commands import registered
from streams.commands.wordings import app


@app.command()
def arms(
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="A prompt's slug or id; `prompts list` names them.")],
    label: Annotated[str, typer.Argument(metavar="LABEL", help="Such as production.")],
    first: Annotated[str | None, typer.Option("--from", help="A day or a moment; default: 30 days ago.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="A day, included, or a moment; default: now.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Whose requests; default: GENAI_DEFAULT_TENANT.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")] = False,
) -> None:
    """Print what each version of a label did, with 95 % intervals, and whether they differ by more than chance.

    Example: genai-spine prompts arms headline production --from 2026-11-01
    """
    from streams import days
    from streams.prompting import arms as trials

    try:
        since, until = days.moments(first, last)
    except ValueError as error:
        raise registered.wrong(str(error)) from None
    look = partial(trials.seen, label=label, tenant=registered.owner_of(tenant), since=since, until=until)
    found = trials.report(registered.seen(slug, tenant, look))
    if as_json:
        typer.echo(json.dumps(found))
        return
    for each in found["arms"]:
        typer.echo("\n".join(_lines(each)))
    for each in found["differences"]:
        typer.echo(each["words"])
    if not found["differences"]:
        typer.echo(found["words"])
    if found["cut_off"]:
        typer.echo("There were more calls than are looked at; these are the newest.")


def _lines(arm: Mapping[str, Any]) -> list[str]:
    from streams.prompting import arms as trials

    share = "no longer stands there" if arm["share"] is None else f"{100 * arm['share']:g} %"
    latency = arm["latency_ms"]
    figures = {
        "success": _rate(arm["success"]),
        "schema valid": _rate(arm["schema_valid"]),
        "dollars each": _between(arm["cost_usd"]["mean"], trials.dollars),
        "p50 ms": _between(latency["p50"], "{:.0f}".format),
        "p95 ms": _between(latency["p95"], "{:.0f}".format),
    }
    return [
        f"version {arm['version']} ({share}): {arm['requests']} requests",
        *(f"  {name:<12}  {told}" for name, told in figures.items() if told != "-"),
    ]


def _rate(told: Mapping[str, Any] | None) -> str:
    if told is None or told["share"] is None:
        return "-"
    low, high = (f"{100 * told[name]:.1f}" for name in ("low", "high"))
    return f"{100 * told['share']:.1f} % ({low} to {high})"


def _between(told: Mapping[str, Any] | None, form: Callable[[float], str]) -> str:
    if told is None:
        return "-"
    return f"{form(told['value'])} ({form(told['low'])} to {form(told['high'])})"
