"""`genai-spine`: every command, and how errors are told. Heavy imports wait inside the commands, so `--help` is fast."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from streams import importing, terminal
from streams.broker import commands as broker
from streams.commands import arms as _arms  # noqa: F401 - more commands of `prompts`
from streams.commands import (
    bench,
    books,
    budgets,
    cancelling,
    check,
    database,
    held,
    keys,
    ledger,
    letters,
    models,
    pipelines,
    queue,
    records,
    replay,
    requests,
    routes,
    runs,
    schedules,
    servers,
    submitting,
    wordings,
)
from streams.commands import registry as _registry  # noqa: F401 - more commands of `prompts`
from streams.errors import SpineError
from streams.topics_commands import app as topics

app = typer.Typer(
    name="genai-spine",
    help="An event-driven LLM service: requests in from Kafka, answers and their exact costs out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_DEBUG = "--debug"
_UNWRITTEN = "Standard output cannot be written ({}), so what was to be printed is not whole."


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option(_DEBUG, help="Show tracebacks.")] = False,
) -> None:
    """An event-driven LLM service: requests in from Kafka, answers and their exact costs out."""


app.command()(servers.demo)
app.command()(servers.up)
app.command()(servers.worker)
app.command()(servers.web)
app.command()(servers.migrate)
app.command("fake-provider")(servers.fake_provider)
app.add_typer(broker.app, name="broker")
app.add_typer(topics, name="topics")
app.add_typer(database.app, name="database")
app.add_typer(ledger.app, name="ledger")
app.command(context_settings=broker.PASS_THROUGH)(broker.kafka)
app.command()(submitting.submit)
app.command()(records.results)
app.add_typer(books.app, name="costs")
app.add_typer(budgets.app, name="budgets")
app.add_typer(requests.app, name="requests")
app.command()(cancelling.cancel)
app.add_typer(held.app, name="held")
app.command()(queue.queue)
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")
app.add_typer(routes.app, name="routes")
app.add_typer(letters.app, name="dlq")
app.add_typer(replay.app, name="replay")
app.add_typer(runs.app, name="runs")
app.add_typer(schedules.app, name="schedules")
app.add_typer(pipelines.app, name="pipelines")
app.add_typer(wordings.app, name="prompts")
app.command()(check.doctor)
app.add_typer(bench.app, name="bench")


def main() -> None:
    """The console script: one sentence for what went wrong, no traceback without --debug."""
    terminal.prepare()
    importing.seldom()
    narrow(app, sys.argv[1:])
    try:
        app()
    except SystemExit:
        if why := _flush():
            _end(_UNWRITTEN.format(why), 1)
        raise
    except Exception as error:
        if _DEBUG in sys.argv[1:]:
            raise
        why = _flush()
        _end(*((_UNWRITTEN.format(why), 1) if why and isinstance(error, OSError) else _told(error)))
    finally:
        importing.leave()


def narrow(all_: typer.Typer, words: Sequence[str]) -> None:
    """Leave it the one command that these words ask for: Typer makes all hundred before it runs one. Where they name none it
    keeps all, so that they can be listed, completed or meant.
    """
    asked = next((word for word in words if word != _DEBUG), "")
    groups = [each for each in all_.registered_groups if each.name == asked]
    commands = [
        each for each in all_.registered_commands if asked in {each.name, getattr(each.callback, "__name__", "")}
    ]
    if groups or commands:
        all_.registered_groups, all_.registered_commands = groups, commands


def _end(words: str, code: int) -> NoReturn:
    print(words, file=sys.stderr)  # noqa: T201 - this is where a command line talks
    sys.exit(code)


def _told(error: Exception) -> tuple[str, int]:
    """The sentence for it, and the exit code."""
    return (str(error), error.exit_code) if isinstance(error, SpineError) else (_others(error), 1)


def _others(error: Exception) -> str:
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from store.errors import BadUrl, StoreError

    if isinstance(error, ValidationError):
        each = [(e["loc"], e["msg"].removeprefix("Value error, ")) for e in error.errors()]
        found = [f"{_place(loc)}: {words}" if loc else words for loc, words in each]
        return f"A setting is wrong: {'; '.join(found)}. Mend it in the environment or in .env."
    if isinstance(error, SettingsError | BadUrl):
        return f"A setting is wrong: {error}. Mend it in the environment or in .env."
    if isinstance(error, StoreError):
        return f"{error.__doc__ or ''} It says: {error}"
    return f"A defect: {type(error).__name__}: {error}. Run it again with --debug before the command for the traceback."


def _place(loc: tuple[int | str, ...]) -> str:
    """The setting, and where in it."""
    inside = ".".join(map(str, loc[1:]))
    return f"GENAI_{str(loc[0]).upper()}" + (f" ({inside})" if inside else "")


def _flush() -> str:
    """Why standard output cannot be written; empty where it can, or where whoever read it has gone. Python would complain at
    exit. Click has put a wrapper around the stream then.
    """
    why = ""
    for stream in filter(None, (sys.__stderr__, sys.__stdout__)):
        try:
            stream.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            why = "" if isinstance(error, BrokenPipeError) or stream is sys.__stderr__ else error.strerror or str(error)
    return why


if __name__ == "__main__":
    main()
