"""`prompts versions|diff|labels|label|rollback|edit|archive|restore|executions|import|export|try`: the registry, in the database."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.commands import registered
from streams.commands.wordings import app

if TYPE_CHECKING:
    from sqlalchemy import Connection


_Slug = Annotated[str, typer.Argument(metavar="SLUG", help="A prompt's slug or id; `prompts list` names them.")]
_Tenant = Annotated[str | None, typer.Option(help="Whose prompt it is; default: GENAI_DEFAULT_TENANT.")]
_Who = Annotated[str | None, typer.Option("--who", help="Who does it, for the history; default: your login name.")]
_Why = Annotated[str, typer.Option("--why", help="Why, for the history.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]


@app.command()
def versions(slug: _Slug, tenant: _Tenant = None, as_json: _Json = False) -> None:
    """Print all versions of a prompt, newest first, with the labels that stand for them.

    Example: genai-spine prompts versions headline
    """
    from streams.prompting import looking

    found = registered.seen(slug, tenant, looking.versions)
    rows = [
        (
            str(each["version"]),
            ", ".join(each["labels"]),
            each["created_at"][:19],
            each["created_by"] or "",
            each["notes"] or "",
        )
        for each in found
    ]
    registered.show(found, ("version", "labels", "made", "by", "notes"), rows, as_json)


@app.command()
def diff(slug: _Slug, before: int, after: int, tenant: _Tenant = None, as_json: _Json = False) -> None:
    """Print what differs between two versions.

    Example: genai-spine prompts diff headline 1 2
    """
    from streams.prompting import looking

    found = registered.seen(slug, tenant, lambda conn, prompt: looking.difference(conn, prompt, before, after))
    if as_json:
        typer.echo(json.dumps(found))
        return
    if found["same"]:
        typer.echo(f"Versions {before} and {after} say the same.")
    for change in found["changes"]:
        typer.echo("\n".join([f"{change['field']}:", *(f"  {line}" for line in change["diff"])]))


@app.command()
def labels(
    slug: _Slug,
    at: Annotated[str | None, typer.Option(help="A day or a moment: what they said then.")] = None,
    tenant: _Tenant = None,
    as_json: _Json = False,
) -> None:
    """Print what each label stands for, and every move of them.

    Example: genai-spine prompts labels headline --at 2026-11-20
    """
    from streams import days
    from streams.prompting import looking

    try:
        moment = None if at is None else days.moment("at", at)
    except ValueError as error:
        raise registered.wrong(str(error)) from None
    found = registered.seen(slug, tenant, lambda conn, prompt: looking.labels(conn, prompt, moment))
    if as_json:
        typer.echo(json.dumps(found))
        return
    for label, stands_for in found["labels"].items():
        typer.echo(f"{label}: {_arms(stands_for)}")
    rows = [
        (each["at"][:19], each["label"], f"{_arms(each['from'])} → {_arms(each['to'])}", each["who"] or "", each["why"])
        for each in found["history"]
    ]
    registered.show(found, ("when", "label", "move", "who", "why"), rows, as_json)


@app.command()
def label(
    slug: _Slug,
    name: Annotated[str, typer.Argument(metavar="LABEL", help="Such as production.")],
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="A number; 1=9,2=1 gives two by weight; none takes the label away.")
    ],
    why: _Why,
    who: _Who = None,
    tenant: _Tenant = None,
) -> None:
    """Let a label stand for a version from now on; what waits keeps what it was accepted with.

    Example: genai-spine prompts label headline production 2 --why 'better on the last 100'
    """
    from streams.prompting import changing

    if version == "none":
        told = registered.changed(
            tenant, who, lambda conn, routes, by: changing.unlabel(conn, routes, by, slug, name, why)
        )
    else:
        moved = _move(name, version, why)
        told = registered.changed(tenant, who, lambda conn, routes, by: changing.move(conn, routes, by, slug, moved))
    typer.echo(f"{told['slug']}: {name} stands for {_arms(told['labels'].get(name))}.")


@app.command()
def rollback(
    slug: _Slug,
    why: _Why,
    name: Annotated[str, typer.Argument(metavar="[LABEL]", help="Which label.")] = "production",
    who: _Who = None,
    tenant: _Tenant = None,
) -> None:
    """Let a label stand for what it stood for before its last move.

    Example: genai-spine prompts rollback headline --why 'answers too long'
    """
    from schemas.prompts import Rollback
    from streams.prompting import changing

    asked = Rollback(label=name, why=why)
    told = registered.changed(tenant, who, lambda conn, routes, by: changing.rollback(conn, routes, by, slug, asked))
    typer.echo(f"{told['slug']}: {name} stands for {_arms(told['labels'].get(name))} again.")


@app.command()
def archive(slug: _Slug, who: _Who = None, tenant: _Tenant = None) -> None:
    """Put a prompt away: nobody can name it any more, and what waits is run all the same.

    Example: genai-spine prompts archive old-news
    """
    from streams.prompting import changing

    told = registered.changed(tenant, who, lambda conn, _, by: changing.archive(conn, by, slug, archived=True))
    typer.echo(f"{told['slug']} is archived; `genai-spine prompts restore {told['slug']}` takes it out.")


@app.command()
def restore(slug: _Slug, who: _Who = None, tenant: _Tenant = None) -> None:
    """Take a prompt out of the archive.

    Example: genai-spine prompts restore old-news
    """
    from streams.prompting import changing

    told = registered.changed(tenant, who, lambda conn, _, by: changing.archive(conn, by, slug, archived=False))
    typer.echo(f"{told['slug']} can be named again.")


@app.command()
def executions(
    slug: _Slug,
    since: Annotated[str | None, typer.Option("--from", help="A day or a moment; default: 30 days ago.")] = None,
    tenant: _Tenant = None,
    as_json: _Json = False,
) -> None:
    """Print what each version did: calls, failures, cost, latency.

    Example: genai-spine prompts executions headline --from 2026-11-01
    """
    import time

    from streams import days
    from streams.prompting import looking

    try:
        at = time.time() - 30 * 86_400 if since is None else days.moment("from", since)
    except ValueError as error:
        raise registered.wrong(str(error)) from None
    owner = registered.owner_of(tenant)
    found = registered.seen(slug, tenant, lambda conn, prompt: looking.executions(conn, prompt, owner, at))
    rows = [
        (
            str(each["version"]),
            str(each["calls"]),
            str(each["failures"] + each["wasted"]),
            each["cost_usd"] or "?",
            str(each["latency_ms"]["p50"]),
            str(each["latency_ms"]["p95"]),
        )
        for each in found["versions"]
    ]
    registered.show(found, ("version", "calls", "failed", "dollars", "p50 ms", "p95 ms"), rows, as_json)


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML files; - is standard input.")],
    who: _Who = None,
    tenant: _Tenant = None,
    as_json: _Json = False,
) -> None:
    """Take prompts from YAML into the registry: new ones, versions that are not there yet, and where labels stand.

    All of it or nothing. What `prompts export` wrote comes back with the same numbers.

    Example: genai-spine prompts import prompts.yaml
    """
    import sys

    from streams.prompting import importing, sheets
    from streams.prompting.registry import BadPrompt

    found: list[sheets.Sheet] = []
    for file in files:
        try:
            text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise registered.wrong(f"Cannot read {file} ({error}).") from None
        try:
            found += sheets.read_sheets(text, str(file))
        except BadPrompt as error:
            raise registered.wrong(f"{error}.") from None
    told = registered.changed(tenant, who, lambda conn, routes, by: importing.imported(conn, routes, by, found))
    if as_json:
        typer.echo(json.dumps({"prompts": told}))
        return
    for one in told:
        numbers = f"versions {', '.join(map(str, one['versions']))}" if one["versions"] else "nothing new"
        moved = f"; moved {', '.join(one['labels'])}" if one["labels"] else ""
        put = {None: "", True: "; archived", False: "; restored"}[one["archived"]]
        typer.echo(f"{one['slug']}: {'new, ' if one['created'] else ''}{numbers}{moved}{put}")


@app.command()
def export(
    slugs: Annotated[
        list[str] | None, typer.Argument(metavar="[SLUG]...", help="Which; all of the tenant's if none.")
    ] = None,
    tenant: _Tenant = None,
) -> None:
    """Print prompts as YAML, with all versions and labels.

    Example: genai-spine prompts export > prompts.yaml
    """
    from store.registry import read
    from streams.prompting import looking, sheets

    owner = registered.owner_of(tenant)

    def look(conn: "Connection") -> list[str]:
        named = slugs or [row.slug for row in read.of_tenant(conn, owner)]
        return [sheets.exported(conn, looking.find(conn, slug, owner)) for slug in named]

    typer.echo("---\n".join(registered.looked(look)), nl=False)


@app.command("try")
def try_(
    slug: _Slug,
    candidate: Annotated[int, typer.Option("--candidate", min=1, help="The version to try.")],
    budget: Annotated[
        str, typer.Option(metavar="USD", help="Dollars it may cost at most; 0: only models that cost nothing.")
    ],
    on: Annotated[
        str,
        typer.Option("--on", metavar="NUMBER", help="On how many of the last recorded requests: 100, or 'last 100'."),
    ] = "last 100",
    tenant: _Tenant = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: _Json = False,
) -> None:
    """Ask the last recorded requests of a prompt again with another version, beside, and print how the answers differ.

    Of a prompt by which operations ask, such as summarize, these are their requests. Nothing moves by it: `prompts label` does
    that when you have seen the difference.

    Example: genai-spine prompts try headline --candidate 2 --on 100 --budget 0.50
    """
    from streams.commands import replay
    from streams.prompting import trying

    owner = registered.owner_of(tenant)
    look = partial(trying.chosen, tenant=owner, candidate=candidate, number=_last(on))
    slug_, pks = registered.seen(slug, tenant, look)
    if not pks:
        raise registered.wrong(
            f"No request of the prompt '{slug_}' has ended with its record kept, so there is nothing to try it on."
        )
    if as_json and not yes:
        raise registered.wrong("--json asks no question: add --yes.")
    replay.try_prompt(pks, owner, f"{slug_}@{candidate}", budget, yes=yes, as_json=as_json)


def _last(told: str) -> int:
    number = told.strip().removeprefix("last").strip()
    if not (number.isdecimal() and 1 <= int(number) <= 100_000):
        raise registered.wrong(f"--on {told!r} is no number of requests; write 100, or 'last 100'.")
    return int(number)


def _move(name: str, version: str, why: str) -> Any:
    from pydantic import ValidationError

    from schemas.prompts import Move
    from streams.decode import sentence

    try:
        if "=" not in version:
            return Move(label=name, version=int(version), why=why)
        weights = {
            int(number): int(weight) for number, _, weight in (part.partition("=") for part in version.split(","))
        }
        return Move(label=name, weights=weights, why=why)
    except ValidationError as error:
        raise registered.wrong(f"{sentence(error)}.") from None
    except ValueError:
        raise registered.wrong(
            f"{version!r} is no version; write a number, 1=9,2=1 for two by weight, or none."
        ) from None


def _arms(stands_for: int | dict[str, int] | None) -> str:
    if stands_for is None:
        return "nothing"
    if isinstance(stands_for, int):
        return f"version {stands_for}"
    return ", ".join(f"version {number} ({weight})" for number, weight in stands_for.items())
