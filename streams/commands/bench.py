"""`bench quality|speed`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.quality.run import Bench, Found
    from streams.quality.score import Score
    from streams.settings import Settings

app = typer.Typer(help="Measure: how good a model's answers are, and how fast the spine is.", no_args_is_help=True)

PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
_SHOWN = 12


@app.command()
def quality(
    model: Annotated[
        list[str] | None, typer.Option("--model", help="One or several that chat; default: the provider's own.")
    ] = None,
    embed_model: Annotated[
        list[str] | None, typer.Option("--embed-model", help="One or several that embed; default: the provider's own.")
    ] = None,
    provider: Annotated[str | None, typer.Option("--provider", help="Default: GENAI_DEFAULT_PROVIDER.")] = None,
    operation: Annotated[
        list[str] | None,
        typer.Option(
            "--operation",
            "-o",
            help="classify, extract, summarize, compare, rewrite, complete, execute_prompt, embed; "
            "default: all that the provider can do.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="So many of the 103 texts; 0: all.")] = 0,
    wrong: Annotated[bool, typer.Option("--wrong", help="Name the texts that were not answered as labelled.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for a program.")] = False,
) -> None:
    """Ask models what is known, and say how often they are right, how fast and for how much.

    Exit code 1 when something was not answered, or when a promise of the spine was not kept.

    Example: `genai-spine bench quality --provider ollama --model llama3.2 --model qwen3 --limit 30`
    """
    import asyncio

    from streams import logging, settings

    logging.configure("warning")
    chosen = settings.load()
    if provider:
        named = {"default_provider": provider, "default_model": None, "default_embed_model": None}
        chosen = chosen.model_copy(update=named)
    found = asyncio.run(_quality(_benches(chosen, operation, model, embed_model), limit))
    scores = [score for each in found for score in each.scores]
    left_out = {name: why for each in found for name, why in each.left_out.items()}
    if as_json:
        told = {"texts": scores[0].items, "scores": [each.as_json() for each in scores], "left_out": left_out}
        typer.echo(json.dumps(told))
    else:
        _print(scores, left_out, wrong=wrong)
    if any(each.failures or not all(figure.kept for figure in each.figures) for each in scores):
        raise typer.Exit(1)


def _benches(
    settings: "Settings", named: list[str] | None, models: list[str] | None, embed_models: list[str] | None
) -> "list[Bench]":
    """One for each model that chats, and one for each that embeds; what embeds is asked nothing else."""
    from agents import OPERATIONS
    from streams.errors import SpineError
    from streams.quality.run import Bench

    asked = _operations(named)
    found = []
    for kind, setting, option, given in (
        ("chat", "default_model", "--model", models),
        ("embed", "default_embed_model", "--embed-model", embed_models),
    ):
        own = [each for each in asked if OPERATIONS[each].kind == kind]
        if given and not own:
            words = f"Nothing that is asked needs a model that {'chats' if kind == 'chat' else 'embeds'}. Leave {option} out."
            raise SpineError(words, exit_code=2)
        may_lack = frozenset(own if kind == "embed" and not (named or given) else ())
        each_of = [settings.model_copy(update={setting: name}) for name in given or ()] or [settings]
        found += [Bench(of, own, may_lack) for of in each_of if own]
    return found


def _operations(named: list[str] | None) -> list[str]:
    from streams.errors import SpineError
    from streams.quality.asks import ASKS

    strange = sorted(set(named or ()) - set(ASKS))
    if strange:
        words = f"There are no labels for {', '.join(strange)}; there are for {', '.join(ASKS)}."
        raise SpineError(words, exit_code=2)
    return list(dict.fromkeys(named or ASKS))


async def _quality(benches: "Sequence[Bench]", limit: int) -> "list[Found]":
    from streams.commands.bars import bar
    from streams.quality.run import run
    from streams.quality.texts import texts

    chosen = texts(limit)
    with bar(sum(len(bench.operations) for bench in benches) * len(chosen)) as step:
        return [await run(bench, chosen, lambda _: step()) for bench in benches]


def _print(found: "Sequence[Score]", left_out: dict[str, str], *, wrong: bool) -> None:
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=140)
    for operation in dict.fromkeys(each.operation for each in found):
        scores = [each for each in found if each.operation == operation]
        console.print(_table(operation, scores))
        for each in scores:
            for words in _notes(each, wrong=wrong):
                console.print(words, markup=False, highlight=False)
    for operation, why in left_out.items():
        console.print(f"{operation} was left out: {why}", markup=False, highlight=False)


def _table(operation: str, scores: "Sequence[Score]") -> Any:
    from rich.table import Table
    from rich.text import Text

    title = f"{operation}: {scores[0].items} texts"
    made = Table(title=title, title_justify="left")
    made.add_column("model", overflow="fold")
    names = [figure.name for figure in scores[0].figures]
    for name in (*names, *(["F1"] if operation == "extract" else []), "ms", "tokens in", "out"):
        made.add_column(name, justify="right")
    made.add_column("dollars", justify="right", no_wrap=True)
    for each in scores:
        f1 = [_percent(each.f1)] if operation == "extract" else []
        cells = [_percent(figure.share) for figure in each.figures]
        totals = [str(each.median_ms), str(each.input_tokens), str(each.output_tokens), each.cost_usd or "not priced"]
        made.add_row(Text(f"{each.provider}/{each.model}"), *cells, *f1, *totals)
    return made


def _percent(share: float | None) -> str:
    """Rounded down: 100 % is all of them."""
    return "-" if share is None else f"{int(share * 1000) / 10:g} %"


def _notes(found: "Score", *, wrong: bool) -> list[str]:
    said = [
        f"{found.model}: {figure.name} {figure.right} of {figure.of}, which the spine promises: please report it."
        for figure in found.figures
        if not figure.kept
    ]
    if found.failures:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(found.failures.items()))
        said.append(f"{found.model}: not answered: {kinds}.")
    if found.warned:
        said.append(
            f"{found.model}: {found.warned} answers had something that was cut or dropped, such as an invented name."
        )
    if found.wrong:
        ids = found.wrong if wrong else found.wrong[:_SHOWN]
        more = f" and {len(found.wrong) - len(ids)} more (--wrong names them)" if len(ids) < len(found.wrong) else ""
        said.append(f"{found.model}: not as labelled: {', '.join(ids)}{more}.")
    return said


def speed(context: typer.Context) -> None:
    """Measure the spine itself against a bare loop; from a checkout. Its options are those of `python -m bench`.

    Example: `genai-spine bench speed --only latency --short`
    """
    import os

    from streams.errors import SpineError

    root = Path(__file__).parents[2]
    if not all((root / name).is_file() for name in ("pyproject.toml", "bench/__main__.py")):
        raise SpineError(
            "The speed bench is in the source tree and not in the package, since it measures against other programs. "
            "Clone the repository, run `make setup`, then `genai-spine bench speed` there."
        )
    os.chdir(root)
    os.execv(sys.executable, [sys.executable, "-m", "bench", *context.args])  # noqa: S606 - our own interpreter


app.command(context_settings=PASS_THROUGH)(speed)
