"""`prompts list|show|render|run`: the library, looked at without a call, and run through the HTTP door."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prompts import Library, Wording

app = typer.Typer(
    help="The prompt library: what there is, what it says, what a model makes of it.", no_args_is_help=True
)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_Slug = Annotated[str, typer.Argument(help="A prompt's slug; `prompts list` names them.")]
_Number = Annotated[int | None, typer.Option("--version", min=1, help="Which version; default: the newest.")]
_Label = Annotated[str | None, typer.Option(help="The version that a label stands for.")]
_Vars = Annotated[
    list[str] | None,
    typer.Option("--var", metavar="NAME=VALUE", help="A variable; what is not text is written as JSON. Repeatable."),
]
_Files = Annotated[
    list[str] | None,
    typer.Option("--var-file", metavar="NAME=FILE", help="A variable out of a UTF-8 file; - is standard input."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for a program.")]


@app.command("list")
def list_(as_json: _Json = False) -> None:
    """Print every prompt, its versions and its variables.

    Example: genai-spine prompts list
    """
    found, tenant = _library()
    prompts = [_described(found, slug, tenant) for slug in found.names(tenant)]
    if as_json:
        typer.echo(json.dumps({"prompts": prompts}))
        return
    from rich.console import Console

    Console().print(table(prompts))


@app.command()
def show(slug: _Slug, version: _Number = None, label: _Label = None, as_json: _Json = False) -> None:
    """Print one version: by its number or a label, else the one that a request gets.

    Example: genai-spine prompts show headline
    """
    wording, numbers = _wording(slug, version, label)
    if as_json:
        typer.echo(json.dumps(described(wording, numbers) | whole(wording)))
        return
    typer.echo("\n\n".join(sheet(wording, numbers)))


@app.command()
def render(
    slug: _Slug,
    var: _Vars = None,
    var_file: _Files = None,
    version: _Number = None,
    label: _Label = None,
    as_json: _Json = False,
) -> None:
    """Print what a model would be sent; no call is made.

    Example: genai-spine prompts render headline --var content="Acme sold 12 pumps."
    """
    from prompts import PromptError

    wording, _ = _wording(slug, version, label)
    try:
        made = wording.render(_variables(wording, var, var_file))
    except PromptError as error:
        raise _told(error) from None
    if as_json:
        told = {"slug": made.slug, "version": made.version, "system": made.system, "user": made.user}
        typer.echo(json.dumps(told))
        return
    typer.echo("\n\n".join(([f"system:\n{made.system}"] if made.system else []) + [f"user:\n{made.user}"]))


@app.command()
def run(
    slug: _Slug,
    var: _Vars = None,
    var_file: _Files = None,
    version: _Number = None,
    label: _Label = None,
    name: Annotated[str | None, typer.Option("--id", help="The request's id; sent again it costs nothing.")] = None,
    model: Annotated[str | None, typer.Option(help="Another model than the default one.")] = None,
    provider: Annotated[str | None, typer.Option(help="Another provider than the default one.")] = None,
    timeout: Annotated[float, typer.Option(min=1, max=3600, help="Seconds to wait for the answer.")] = 120.0,
    url: Annotated[
        str | None, typer.Option(help="The API's address; default: the `up` here, else the settings'.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Run a prompt at the running API and print the answer; exit code 1 if it failed or did not come in time.

    Example: genai-spine prompts run headline --var content="Acme sold 12 pumps."
    """
    from prompts import BadVariables
    from streams import door, settings

    chosen = settings.load()
    wording, _ = _wording(slug, version, label)
    given: dict[str, Any] = {"prompt": slug, "variables": _variables(wording, var, var_file)}
    try:
        wording.check(given["variables"])
    except BadVariables as error:
        raise _told(error) from None
    options = {key: value for key, value in (("model", model), ("provider", provider)) if value is not None}
    wished = {key: value for key, value in (("version", version), ("label", label)) if value is not None}
    body = {"input": given | wished, "options": options}
    told = door.ask(chosen, "execute_prompt", body if name is None else body | {"id": name}, timeout, url)
    if as_json:
        typer.echo(json.dumps(told))
    elif told["status"] == "succeeded":
        typer.echo(_plain(told["output"]["content"]))
    else:
        typer.echo(_plain(door.why(told)), err=True)
    if told["status"] != "succeeded":
        raise typer.Exit(1)


def _described(library: "Library", slug: str, tenant: str) -> dict[str, Any]:
    from prompts import Wish

    wording, _ = library.chosen(slug, Wish(tenant=tenant))
    return described(wording, library.numbers(slug, tenant))


def described(wording: "Wording", numbers: "Sequence[int]") -> dict[str, Any]:
    """A prompt in short, as a program reads it."""
    prompt = wording.prompt
    return {
        "id": prompt.id,
        "slug": prompt.slug,
        "description": prompt.description,
        "versions": list(numbers),
        "variables": [
            {"name": item.name, "type": item.type, "required": item.required, "description": item.description}
            | ({} if item.required else {"default": item.default})
            for item in wording.variables
        ],
    }


def whole(wording: "Wording") -> dict[str, Any]:
    """One version."""
    return wording.version.model_dump() | {"digest": wording.digest}


def table(prompts: "Sequence[dict[str, Any]]") -> Any:
    """The library for people: a variable that must be given has no brackets."""
    from rich.table import Table
    from rich.text import Text

    made = Table()
    for name in ("slug", "versions", "variables", "what it is for"):
        made.add_column(name, overflow="fold")
    for prompt in prompts:
        names = (one["name"] if one["required"] else f"[{one['name']}]" for one in prompt["variables"])
        versions = ", ".join(map(str, prompt["versions"]))
        made.add_row(prompt["slug"], versions, Text(", ".join(names)), Text(prompt["description"]))
    return made


def sheet(wording: "Wording", numbers: "Sequence[int]") -> list[str]:
    """One version for people, paragraph by paragraph."""
    prompt, version = wording.prompt, wording.version
    others = [str(number) for number in numbers if number != version.version]
    head = f"{prompt.slug}, version {version.version}" + (f" (there are also {', '.join(others)})" if others else "")
    variables = [
        f"  {item.name}: {item.type}{_optional(item)}. {item.description}".rstrip() for item in wording.variables
    ]
    parts = [f"{head}\n{prompt.description}\n{version.notes}"]
    parts += ["\n".join(["variables:", *variables])] if variables else []
    parts += [f"system:\n{version.system}"] if version.system else []
    parts.append(f"user:\n{version.user.rstrip()}")
    if version.output_schema is not None:
        parts.append(f"output_schema:\n{json.dumps(version.output_schema, indent=2)}")
    return parts


def _optional(variable: Any) -> str:
    return "" if variable.required else f", default {json.dumps(variable.default, ensure_ascii=False)}"


def _wording(slug: str, version: int | None, label: str | None) -> "tuple[Wording, Sequence[int]]":
    """That one, and the numbers of all versions."""
    from prompts import UnknownPrompt, Wish

    if version is not None and label is not None:
        raise _wrong("Give either --version or --label: a label stands for a version")
    found, tenant = _library()
    try:
        wording, _ = found.chosen(slug, Wish(version, label, tenant))
    except UnknownPrompt as error:
        raise _told(error) from None
    return wording, found.numbers(slug, tenant)


def _library() -> "tuple[Library, str]":
    """The files' prompts, and the registry's where there is a database; and whose they are."""
    import asyncio

    from streams import library, lookup, postgres, settings
    from streams.prompting import memory

    chosen = settings.load()
    found = library.load(chosen)

    async def register() -> None:
        async with lookup.opened(postgres.resolved(chosen)) as database:
            found.register(*await database.read(memory.whole))

    try:
        asyncio.run(register())
    except lookup.NoLedger:
        return found, chosen.default_tenant
    return found, chosen.default_tenant


def _variables(wording: "Wording", given: list[str] | None, files: list[str] | None) -> dict[str, Any]:
    """Names and values out of the options; a value is text where the prompt wants text, else JSON."""
    types = {variable.name: variable.type for variable in wording.variables}
    found: dict[str, Any] = {}
    pairs = [("--var", one, False) for one in given or ()] + [("--var-file", one, True) for one in files or ()]
    for option, pair, from_file in pairs:
        name, value = _pair(option, pair)
        if name in found:
            raise _wrong(f"The variable {name!r} is given twice; give it once")
        text = _read(value) if from_file else value
        found[name] = text if types.get(name, "text") in {"text", "content"} else _json(name, types[name], text)
    return found


def _pair(option: str, pair: str) -> tuple[str, str]:
    name, parted, value = pair.partition("=")
    if not parted or not name:
        raise _wrong(f"{option} {pair[:100]!r} is no NAME=VALUE; write for example {option} content=…")
    return name, value


def _read(file: str) -> str:
    import sys

    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return raw.decode()
    except OSError as error:
        raise _wrong(f"Cannot read {file} ({error.strerror}); name a file, or - for standard input") from None
    except UnicodeDecodeError as error:
        raise _wrong(f"{file} is not UTF-8 (byte {error.start}); convert it first") from None


def _json(name: str, kind: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        example = {"integer": "3", "number": "0.5", "boolean": "true", "texts": '["a", "b"]'}.get(kind, '{"a": 1}')
        raise _wrong(f"The variable {name!r} is {kind}; write it as JSON, for example {name}={example}") from None


def _plain(text: str) -> str:
    """A model's words may hold what a terminal takes for orders; shown, it is no order."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _told(error: Exception) -> Exception:
    words = str(error)
    return _wrong(f"{words[:1].upper()}{words[1:]}")


def _wrong(words: str) -> Exception:
    from streams.errors import SpineError

    return SpineError(f"{words}.", exit_code=2)
