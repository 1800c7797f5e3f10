"""`prompts arms`: the versions of a label held against each other."""

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
    names = ("version", "share", "requests", "success", "schema valid", "dollars each", "p50 ms", "p95 ms")
    registered.show(found, names, [_row(each) for each in found["arms"]], as_json)
    if as_json:
        return
    for each in found["differences"]:
        typer.echo(each["words"])
    if not found["differences"]:
        typer.echo(found["words"])
    if found["cut_off"]:
        typer.echo("There were more calls than are looked at; these are the newest.")


def _row(arm: Mapping[str, Any]) -> tuple[str, ...]:
    from streams.prompting import arms as trials

    latency = arm["latency_ms"]
    return (
        str(arm["version"]),
        "-" if arm["share"] is None else f"{100 * arm['share']:g} %",
        str(arm["requests"]),
        _rate(arm["success"]),
        _rate(arm["schema_valid"]),
        _between(arm["cost_usd"]["mean"], trials.dollars),
        _between(latency["p50"], "{:.0f}".format),
        _between(latency["p95"], "{:.0f}".format),
    )


def _rate(told: Mapping[str, Any] | None) -> str:
    if told is None or told["share"] is None:
        return "-"
    low, high = (f"{100 * told[name]:.1f}" for name in ("low", "high"))
    return f"{100 * told['share']:.1f} % ({low} to {high})"


def _between(told: Mapping[str, Any] | None, form: Callable[[float], str]) -> str:
    if told is None:
        return "-"
    return f"{form(told['value'])} ({form(told['low'])} to {form(told['high'])})"
