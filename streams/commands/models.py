"""`models list`, and the commands for Ollama's nodes beside it (`pool`)."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.commands import pool

if TYPE_CHECKING:
    from streams.settings import Settings

app = typer.Typer(help="The models that can be called now.", no_args_is_help=True)
app.command()(pool.nodes)
app.command()(pool.pull)
app.command()(pool.warm)
app.command()(pool.unload)


@app.callback()
def _group() -> None:
    """The models that can be called now."""


@app.command("list")
def list_(
    provider: Annotated[str | None, typer.Option("--provider", "-p", help="Only this provider's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for a program.")] = False,
) -> None:
    """Ask every provider what it has; exit code 1 when the one asked for does not answer.

    Example: genai-spine models list --provider ollama
    """
    import asyncio
    import json

    from streams import settings

    told = asyncio.run(_asked(settings.load(), provider))
    if as_json:
        typer.echo(json.dumps(told))
    else:
        _print(told)
    if provider and not all(each["ok"] for each in told["providers"]):
        raise typer.Exit(1)


async def _asked(settings: "Settings", only: str | None) -> dict[str, Any]:
    from streams import catalogue
    from streams.errors import SpineError
    from streams.naming import make_router
    from streams.providing import make_prices, make_providers

    made = make_providers(settings)
    try:
        if only is not None and only not in made:
            raise SpineError(f"There is no provider {only!r}; there are {', '.join(sorted(made))}.", exit_code=2)
        chosen = {name: each for name, each in made.items() if only in {None, name}}
        return catalogue.told(await catalogue.sections(chosen), make_prices(settings), make_router(settings, made))
    finally:
        for each in made.values():
            await each.aclose()


def _print(told: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    from streams.showing import plain
    from streams.tabling import Row, listed

    rows = [
        Row(
            {
                "model": plain(model["id"]),
                "provider": model["owned_by"],
                "kind": model["kind"] or "",
                "loaded": {True: "yes", False: "no", None: ""}[model.get("loaded")],
                "context": str(model.get("context_tokens") or ""),
                "$ in / out per million": plain(", ".join(model["targets"]))
                if "targets" in model
                else _price(model["price"]),
            }
        )
        for model in told["data"]
    ]
    console = Console(highlight=False)
    console.print(listed(rows, console.width))
    for each in told["providers"]:
        if each["why"]:
            Console(stderr=True, highlight=False).print(Text(plain(each["why"])))


def _price(price: dict[str, Any] | None) -> str:
    if price is None:
        return "unknown"
    by_time = f" + {price['per_gpu_second']}/GPU-s" if price["per_gpu_second"] != "0" else ""
    return f"{price['input_per_million']} / {price['output_per_million']}{by_time}"
