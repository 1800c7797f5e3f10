"""`pipelines list|check|draw|run`: steps over operations and functions, as one run."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.commands import runs
from streams.errors import Exit, SpineError

if TYPE_CHECKING:
    from agents.pipelines.defining import Shelf
    from schemas.pipelines import Pipeline

app = typer.Typer(help="Pipelines: steps over operations and functions, run as one.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Of a pipeline here, or a definition's YAML file.")]
_Url = Annotated[str | None, typer.Option(help="The API's address; default: the `up` here, else the settings'.")]
_Tenant = Annotated[str | None, typer.Option(help="Whose run it is; default: GENAI_DEFAULT_TENANT.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON, for a program.")]


@app.command("list")
def list_(as_json: _Json = False) -> None:
    """Print the pipelines of this installation, with their inputs.

    Example: genai-spine pipelines list
    """
    found = _shelf().pipelines.values()
    if as_json:
        typer.echo(json.dumps([each.model_dump(mode="json", by_alias=True, exclude_unset=True) for each in found]))
        return
    for each in found:
        inputs = ", ".join(name if told.required else f"[{name}]" for name, told in each.inputs.items())
        typer.echo(f"{each.name}({inputs})  {len(each.steps)} steps  {each.description}")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A definition's YAML file.")], as_json: _Json = False
) -> None:
    """Say what is wrong with a definition, by line and column; exit code 1 if anything is. Nothing is called.

    Example: genai-spine pipelines check digest.yaml
    """
    found = _read(file)
    steps = len(found.steps)
    typer.echo(
        json.dumps({"name": found.name, "steps": steps}) if as_json else f"{found.name}: {steps} steps, in order."
    )


@app.command()
def draw(
    name: _Name, mermaid: Annotated[bool, typer.Option("--mermaid", help="As a flowchart for Mermaid.")] = False
) -> None:
    """Print what waits for what.

    Example: genai-spine pipelines draw digest --mermaid
    """
    from agents.pipelines import drawing

    found = _read(Path(name)) if name.endswith((".yaml", ".yml")) else _named(name)
    typer.echo(drawing.mermaid(found) if mermaid else drawing.plain(found), nl=False)


@app.command()
def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a pipeline that the API knows.")],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="NAME=VALUE", help="JSON, or else a text; NAME=@FILE: the file's text."),
    ] = None,
    params: Annotated[str, typer.Option(metavar="JSON", help="All params at once; --param goes before them.")] = "{}",
    document: Annotated[
        list[Path] | None,
        typer.Option("--document", "-d", metavar="FILE", help="Sent in the param `documents`; again for more."),
    ] = None,
    lane: Annotated[str | None, typer.Option(help="realtime, normal, batch or gpu.")] = None,
    model: Annotated[str | None, typer.Option(help="Another model than the default one.")] = None,
    provider: Annotated[str | None, typer.Option(help="Another provider than the default one.")] = None,
    key: Annotated[
        str | None, typer.Option("--idempotency-key", help="The same key gives the same run, and costs nothing again.")
    ] = None,
    tenant: _Tenant = None,
    wait: Annotated[bool, typer.Option(help="Until it has ended; exit code 1 unless it succeeded.")] = True,
    url: _Url = None,
    as_json: _Json = False,
) -> None:
    """Run a pipeline at the API and print its result.

    Example: genai-spine pipelines run digest --param 'texts=["One text.", "Another one."]' --param max_sentences=2
    """
    given = _object(params) | dict(map(_pair, param or []))
    if document:
        given["documents"] = list(map(_sent, document))
    options = {option: value for option, value in (("model", model), ("provider", provider)) if value is not None}
    more = {"lane": lane, "tenant": tenant, "idempotency_key": key}
    body = {"kind": "pipeline", "name": name, "params": given, "options": options}
    with runs.door_of(url) as client:
        found = runs.said(client.post("/v1/runs", json=body | {at: value for at, value in more.items() if value}))
        if wait:
            found = runs.until_end(client, found)
    _tell(found, as_json=as_json)
    if wait and found["status"] != "succeeded":
        raise typer.Exit(Exit.FAILED)


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found))
        return
    for step in found["steps"]:
        took = "" if step["took_s"] is None else f"  {step['took_s']:.1f} s"
        items = "" if step["total"] in {None, 1} else f"  {step['done']} of {step['total']}"
        error = f"  {step['error']}" if step["error"] else ""
        typer.echo(f"  {step['name']}  {step['status']}{items}{took}  ${step['cost_usd']}{error}", err=True)
    typer.echo(runs.line(found), err=True)
    if found["result"] is not None:
        typer.echo(json.dumps(found["result"], indent=2, ensure_ascii=False))


def _shelf() -> "Shelf":
    from streams import settings, shelves

    return shelves.load(settings.load())


def _named(name: str) -> "Pipeline":
    shelf = _shelf()
    if name not in shelf.pipelines:
        raise SpineError(
            f"There is no pipeline {name!r}; there are {', '.join(shelf.pipelines)}.", exit_code=Exit.USAGE
        )
    return shelf.pipelines[name]


def _read(file: Path) -> "Pipeline":
    from agents.pipelines import defining

    try:
        return defining.read(str(file), file.read_text(encoding="utf-8"), _shelf().known)
    except (OSError, UnicodeDecodeError) as error:
        raise SpineError(f"Cannot read {file} ({error}).", exit_code=Exit.USAGE) from error
    except defining.BadPipeline as error:
        raise SpineError(str(error)) from error


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise SpineError(f"--params is not JSON ({error}).", exit_code=Exit.USAGE) from None
    if not isinstance(found, dict):
        raise SpineError('--params is no JSON object; write {"name": value}.', exit_code=Exit.USAGE)
    return found


def _sent(file: Path) -> dict[str, str]:
    import base64

    try:
        return {"name": file.name, "base64": base64.b64encode(file.read_bytes()).decode()}
    except OSError as error:
        raise SpineError(f"Cannot read {file} ({error}).", exit_code=Exit.USAGE) from None


def _pair(told: str) -> tuple[str, Any]:
    """What is no JSON is a text."""
    name, sign, text = told.partition("=")
    if not sign or not name:
        raise SpineError(f"--param {told!r} is no NAME=VALUE.", exit_code=Exit.USAGE)
    if text.startswith("@"):
        try:
            return name, Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SpineError(f"Cannot read {text[1:]} ({error}).", exit_code=Exit.USAGE) from None
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text
