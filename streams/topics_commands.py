"""`genai-spine topics create|list|check`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streams.topics import Done

app = typer.Typer(help="The Kafka topics that GenAI Spine reads and writes.", no_args_is_help=True)

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for a program.")]


@app.command()
def create(as_json: _Json = False) -> None:
    """Make what is missing, widen what is too narrow, correct settings; nothing is shrunk or deleted.

    Example: `genai-spine topics create`
    """
    import asyncio

    from schemas.operations import NAMES
    from streams import settings, topics, where

    chosen = settings.load()
    done = asyncio.run(topics.create(where.bootstrap(chosen), chosen, NAMES))
    if as_json:
        typer.echo(json.dumps(done.as_json()))
        return
    for line in _sentences(done):
        typer.echo(line)


@app.command("list")
def list_(as_json: _Json = False) -> None:
    """Print the `genai.` topics as they are.

    Example: `genai-spine topics list --json`
    """
    import asyncio

    from streams import settings, topics, where

    found = asyncio.run(topics.list_topics(where.bootstrap(settings.load())))
    if as_json:
        typer.echo(json.dumps({name: topic.as_json() for name, topic in found.items()}))
        return
    width = max(map(len, found), default=0)
    for name, topic in found.items():
        cleanup = topic.config.get("cleanup.policy", "")
        typer.echo(f"{name:<{width}}  {topic.partitions:>3} partitions  {topic.replication} replicas  {cleanup}")
    if not found:
        typer.echo("There are no genai topics yet. Make them with `genai-spine topics create`.")


@app.command()
def check(as_json: _Json = False) -> None:
    """Compare the cluster's topics with the settings; exit code 1 when they differ.

    Example: `genai-spine topics check`
    """
    import asyncio

    from schemas.operations import NAMES
    from streams import settings, topics, where

    chosen = settings.load()
    found = asyncio.run(topics.check(where.bootstrap(chosen), chosen, NAMES))
    if as_json:
        typer.echo(json.dumps({"ok": not found, "findings": [finding.as_json() for finding in found]}))
    else:
        for finding in found:
            typer.echo(f"{finding.message} {finding.mend}")
        typer.echo(f"{len(found)} differences." if found else "All topics are as the settings say.")
    if found:
        raise typer.Exit(1)


def _sentences(done: "Done") -> list[str]:
    lines = [f"Created {name}." for name in done.created]
    lines += [f"Widened {name} to {partitions} partitions." for name, partitions in done.grown.items()]
    lines += [f"Corrected {', '.join(changes)} of {name}." for name, changes in done.configured.items()]
    return lines or ["All topics are as the settings say."]
