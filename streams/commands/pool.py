"""`models pull|warm|unload|nodes`: what each Ollama node has, and has in memory."""

import contextlib
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from providers.ollama_pool import Done, OnNode, Pool, Progress

_T = TypeVar("_T")
_MODEL = Annotated[str, typer.Argument(help="The model, with its tag: llama3.2:3b.")]
_NODE = Annotated[
    list[str] | None, typer.Option("--node", help="Only this node of GENAI_OLLAMA_URL; may be given several times.")
]
_JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object, for a program.")]
_WITHIN = Annotated[float, typer.Option("--timeout", min=1, help="Seconds after which a node is given up.")]


def pull(model: _MODEL, node: _NODE = None, timeout: _WITHIN = 7200.0, as_json: _JSON = False) -> None:
    """Download a model to every Ollama node; exit code 1 when one of them did not get it.

    Example: genai-spine models pull llama3.2:3b --node gpu-1:11434
    """
    with _progress() as told:
        ends = _run(node, lambda pool, nodes: pool.pull(nodes, model, told, timeout))
    _tell(model, "pulled", ends, as_json=as_json)


def warm(
    model: _MODEL,
    node: _NODE = None,
    keep_alive: Annotated[
        str | None, typer.Option(help="How long without a call: 30m, -1 for ever. Default: GENAI_OLLAMA_KEEP_ALIVE.")
    ] = None,
    timeout: _WITHIN = 600.0,
    as_json: _JSON = False,
) -> None:
    """Load a model into the nodes' memory, with the context that calls have; exit code 1 when one of them could not.

    Example: genai-spine models warm llama3.2:3b
    """
    ends = _run(node, lambda pool, nodes: pool.warm(nodes, model, keep_alive, timeout))
    _tell(model, "loaded", ends, as_json=as_json)


def unload(model: _MODEL, node: _NODE = None, timeout: _WITHIN = 60.0, as_json: _JSON = False) -> None:
    """Take a model out of the nodes' memory, after the calls that are with it; its files stay.

    Example: genai-spine models unload llama3.2:3b --node gpu-1:11434
    """
    ends = _run(node, lambda pool, nodes: pool.unload(nodes, model, timeout))
    _tell(model, "unloaded", ends, as_json=as_json)


def nodes(node: _NODE = None, as_json: _JSON = False) -> None:
    """Which Ollama node has which model, on its disk and in memory; exit code 1 when one of them does not answer.

    Example: genai-spine models nodes --json
    """
    found, ends = _run(node, lambda pool, chosen: pool.models(chosen))
    if as_json:
        typer.echo(json.dumps({"models": [_shown(each) for each in found], "nodes": [_ended(each) for each in ends]}))
    else:
        _print(found)
        _complain(ends)
    _exit(ends)


def _run(only: list[str] | None, work: "Callable[[Pool, tuple[str, ...]], Awaitable[_T]]") -> _T:
    """Raises SpineError."""
    import asyncio

    from providers.ollama_pool import Pool
    from providers.outbound import listed
    from streams import settings

    told = settings.load()

    async def go() -> _T:
        pool = Pool(
            told.ollama_nodes(),
            num_ctx=told.ollama_num_ctx,
            keep_alive=told.ollama_keep_alive,
            outbound=listed(told.outbound()),
        )
        try:
            return await work(pool, _chosen(pool.nodes(), only))
        finally:
            await pool.aclose()

    return asyncio.run(go())


def _chosen(known: tuple[str, ...], only: list[str] | None) -> tuple[str, ...]:
    from providers import http
    from providers.ollama import with_scheme
    from streams.errors import Exit, SpineError

    if not only:
        return known
    named = tuple(dict.fromkeys(http.address(with_scheme(each)).name for each in only))
    if unknown := [each for each in named if each not in known]:
        words = f"{', '.join(unknown)} is not in GENAI_OLLAMA_URL, which names {', '.join(known)}."
        raise SpineError(words, exit_code=Exit.USAGE)
    return named


def _tell(model: str, what: str, ends: "list[Done]", *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"model": model, "nodes": [_ended(each) for each in ends]}))
    else:
        for each in ends:
            if each.why is None:
                typer.echo(f"{each.node}: {model} {what}")
        _complain(ends)
    _exit(ends)


def _complain(ends: "list[Done]") -> None:
    from streams.showing import plain

    for each in ends:
        if each.why is not None:
            typer.echo(plain(each.why), err=True)


def _exit(ends: "list[Done]") -> None:
    if any(each.why is not None for each in ends):
        raise typer.Exit(1)


def _ended(done: "Done") -> dict[str, Any]:
    return {"node": done.node, "ok": done.why is None, "why": done.why or ""}


def _shown(each: "OnNode") -> dict[str, Any]:
    return {"node": each.node, "model": each.model, "loaded": each.loaded, "on_gpu": each.on_gpu}


def _print(found: "list[OnNode]") -> None:
    from rich.console import Console

    from streams.showing import plain
    from streams.tabling import Row, listed

    rows = [
        Row(
            {
                "node": plain(each.node),
                "model": plain(each.model),
                "in memory": ("on a GPU" if each.on_gpu else "yes") if each.loaded else "no",
            }
        )
        for each in found
    ]
    console = Console(highlight=False)
    console.print(listed(rows, console.width))


@contextlib.contextmanager
def _progress() -> "Iterator[Callable[[Progress], None]]":
    """A bar for each node on a terminal; for a pipe a line for each new status. On standard error."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    from streams.showing import plain

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, console=Console(stderr=True), transient=True) as shown:
        tasks: dict[tuple[str, str], Any] = {}

        def told(each: "Progress") -> None:
            if not each.total:
                return
            key = (each.node, each.status)
            if key not in tasks:
                words = Text(f"{plain(each.node)} {plain(each.status)}").markup
                tasks[key] = shown.add_task(words, total=each.total)
            shown.update(tasks[key], completed=each.completed, total=each.total)

        yield told


def _lines() -> "Callable[[Progress], None]":
    from streams.showing import plain

    last: dict[str, str] = {}

    def told(each: "Progress") -> None:
        if last.get(each.node) != each.status:
            last[each.node] = each.status
            typer.echo(f"{each.node}: {plain(each.status)}", err=True)

    return told
