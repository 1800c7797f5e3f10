"""`genai-spine broker start|stop|status|logs`, and `genai-spine kafka <tool> …`."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from streams.errors import Exit

if TYPE_CHECKING:
    from streams.broker import control

app = typer.Typer(help="The embedded Kafka broker.", no_args_is_help=True)

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for a program.")]


@app.command()
def start(as_json: _Json = False) -> None:
    """Start Kafka on the data directory, or adopt the one that runs there; returns when it answers.

    Example: `genai-spine broker start`
    """
    from streams import settings
    from streams.broker import control

    found = control.start(settings.load(), tell=lambda notice: typer.echo(notice, err=True))
    verb = "Already running" if found.adopted else "Started"
    _show(found, as_json, f"{verb}: Apache Kafka {found.version} at {found.bootstrap} (pid {found.pid}).")


@app.command()
def stop() -> None:
    """Stop it, if it runs.

    Example: `genai-spine broker stop`
    """
    from streams import settings
    from streams.broker import control

    typer.echo(control.stop(settings.load()))


@app.command()
def status(as_json: _Json = False) -> None:
    """Say whether a broker answers, and where. Exit code 3 when none does (with --json always 0).

    Example: `genai-spine broker status --json`
    """
    from streams import settings
    from streams.broker import control

    found = control.status(settings.load())
    _show(found, as_json, _sentence(found))
    if not found.running and not as_json:
        raise typer.Exit(Exit.NOT_RUNNING)


@app.command()
def logs(
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new lines until Ctrl-C.")] = False,
) -> None:
    """Print the broker's log.

    Example: `genai-spine broker logs -n 200`
    """
    from streams import settings
    from streams.broker import control

    chosen = settings.load()
    for line in control.log_lines(chosen, lines):
        typer.echo(line)
    if follow:
        for line in control.follow(chosen):
            typer.echo(line)
            sys.stdout.flush()


def kafka(context: typer.Context, tool: str) -> None:
    """Run one of Kafka's own tools (topics, console-consumer, consumer-groups, …) on the packaged Java.

    Example: `genai-spine kafka console-consumer --topic genai.results --from-beginning`
    """
    from streams import settings
    from streams.broker import console

    console.become(settings.load(), tool, context.args)


# the tool gets its own options, `--help` among them
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}


def _show(found: "control.Status", as_json: bool, sentence: str) -> None:
    typer.echo(json.dumps(found.as_json()) if as_json else sentence)


def _sentence(found: "control.Status") -> str:
    if not found.embedded:
        return f"GENAI_KAFKA_BROKERS names {found.bootstrap}; it {'answers' if found.running else 'does not answer'}."
    if found.running:
        return (
            f"Apache Kafka {found.version} runs at {found.bootstrap} "
            f"(pid {found.pid}, {found.memory_mb} MB, data in {found.data_dir})."
        )
    if found.pid:
        return f"A broker process (pid {found.pid}) is there but does not answer yet. See `genai-spine broker logs`."
    return f"No broker runs on {found.data_dir}. Start one with `genai-spine broker start`."
