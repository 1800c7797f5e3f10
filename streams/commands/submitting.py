"""`submit`."""

import itertools
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from streams.errors import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.request import Lane
    from streams.given import Bad, Line, Wish
    from streams.outfile import OutFile
    from streams.settings import Settings
    from streams.submit import Identity, Sent

_SHOWN = 20
_COUNTED = re.compile(r"(?:line|item) \d+")
"""A place, and no file's name, which is left as it is."""


def submit(
    file: Annotated[str, typer.Argument(help="A file, a folder of texts, or - for standard input.")],
    operation: Annotated[str | None, typer.Option("--operation", "-o", help="For what names none.")] = None,
    form: Annotated[
        Literal["auto", "text", "json", "jsonl"], typer.Option("--format", help="auto: by name and first line.")
    ] = "auto",
    more: Annotated[
        str, typer.Option("--input", help="A JSON object: input fields that every request gets if it lacks them.")
    ] = "{}",
    options: Annotated[
        str, typer.Option("--options", help="A JSON object: options that every request gets if it lacks them.")
    ] = "{}",
    lane: Annotated[str, typer.Option(help="realtime, normal or batch.")] = "normal",
    wait: Annotated[bool, typer.Option("--wait", help="Print each result; exit code 1 if any failed.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Wait, and write results into this file.")] = None,
    timeout: Annotated[float, typer.Option(min=0, help="Of the wait: give up after so many seconds; 0: never.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for a program.")] = False,
) -> None:
    """Send requests to Kafka: a text, JSON, JSON Lines or a folder. The same again costs nothing.

    Example: `genai-spine submit notes/ -o summarize --out answers.jsonl`
    """
    import contextlib

    from agents import OPERATIONS
    from streams import outfile, settings
    from streams.given import Wish

    chosen, into = settings.load(), _lane(lane)
    wish = Wish(
        OPERATIONS, operation, chosen.request_max_bytes, _object(more, "--input"), _object(options, "--options")
    )
    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(outfile.opened(out)) if out else None
        job = Job(chosen, into, kept, waits=wait or out is not None, timeout_s=timeout, as_json=as_json)
        job.run(file, form, wish)
    if not job.well:
        raise typer.Exit(Exit.FAILED)


def _lane(name: str) -> "Lane":
    from schemas.request import Lane
    from streams.errors import SpineError

    try:
        return Lane[name.upper()]
    except KeyError:
        raise SpineError(f"There is no lane {name!r}; choose realtime, normal or batch.", exit_code=2) from None


def _object(given: str, option: str) -> dict[str, Any]:
    import json

    from streams.errors import SpineError

    try:
        found = json.loads(given)
    except ValueError as error:
        raise SpineError(f"{option} is not JSON ({error}).", exit_code=2) from None
    if not isinstance(found, dict):
        raise SpineError(f'{option} is no JSON object; write {{"name": …}}.', exit_code=2)
    return found


@dataclass
class Job:
    """One submit: what is sent, what came, what was wrong."""

    settings: "Settings"
    lane: "Lane"
    out: "OutFile | None"
    waits: bool
    timeout_s: float
    as_json: bool
    sent: "Sent | None" = None
    bad: "list[Bad]" = field(default_factory=list)
    had: int = 0
    told: bool = False
    came: int = 0
    failed: dict[str, int] = field(default_factory=dict)

    def run(self, file: str, form: Any, wish: "Wish") -> None:
        """Until everything is sent, or answered; Ctrl-C ends it with a word on how to go on."""
        import asyncio
        import signal

        signal.signal(signal.SIGINT, _interrupt)  # asyncio's own would wait for a read of standard input to end
        try:
            lines = self._lines(file, form, wish)
            first = next(lines, None)
            if first is not None:
                asyncio.run(self._run(itertools.chain((first,), lines)))
        except KeyboardInterrupt:
            self._summary()
            _tell("Stopped by Ctrl-C. Run the same command again to go on: nothing is paid twice.")
            raise typer.Exit(Exit.INTERRUPTED) from None
        self._summary()

    @property
    def well(self) -> bool:
        """Everything asked for was sent and, if waited for, succeeded."""
        return not (self.failed or self._missing() or any(not each.left_out for each in self.bad))

    def _lines(self, file: str, form: Any, wish: "Wish") -> "Iterator[Line]":
        """What is to be sent; what is wrong, and what `--out` holds already, is counted."""
        from streams import given
        from streams.errors import SpineError

        empty = True
        for found in given.apart(given.read(file, form, wish), self._whose):
            empty = False
            if isinstance(found, given.Bad):
                self.bad.append(found)
            elif self.out is not None and self._whose(found) in self.out.done:
                self.had += 1
            else:
                yield found
        if empty:
            raise SpineError(f"There is nothing in {'standard input' if file == given.STDIN else file} to send.")

    def _whose(self, line: "Line") -> "Identity":
        from streams.submit import identity

        return identity(self.settings, line, self.lane)

    async def _run(self, lines: "Iterator[Line]") -> None:
        import asyncio
        import contextlib

        from streams import submit as sending
        from streams import where
        from streams.commands.bars import bar

        asyncio.get_running_loop().set_exception_handler(_complain)
        bootstrap = where.bootstrap(self.settings)
        self.sent = sending.Sent()
        await sending.send(self.settings, bootstrap, lines, self.lane, self.sent)
        self._tell_sent()
        if not self.waits:
            return
        results = sending.results(bootstrap, self.sent, self.timeout_s)
        async with contextlib.aclosing(results) as coming:  # type: ignore[type-var]
            with bar(len(self.sent.identities)) as step:
                async for result in coming:
                    self._take(result)
                    step()

    def _take(self, result: dict[str, Any]) -> None:
        self.came += 1
        if result["status"] != "succeeded":
            kind = (result.get("error") or {}).get("type") or result["status"]
            self.failed[kind] = self.failed.get(kind, 0) + 1
        if self.out is not None:
            self.out.write(result)
        else:
            show(result, as_json=self.as_json)

    def _missing(self) -> int:
        return len(self.sent.identities) - self.came if self.waits and self.sent else 0

    def _tell_sent(self) -> None:
        """Once: before the answers, or at an early end."""
        if not self.told:
            self.told = True
            had = f" {self.had} had their result already." if self.had else ""
            records = self.sent.records if self.sent else 0
            typer.echo(f"Sent {records} records.{had}", err=self.waits or self.as_json)

    def _summary(self) -> None:
        for found in self.bad[:_SHOWN]:
            _tell(told(found))
        if len(self.bad) > _SHOWN:
            _tell(f"{len(self.bad) - _SHOWN} more like these.")
        self._tell_sent()
        if self.waits and self.sent is not None:
            _tell(self._outcome(self.came - sum(self.failed.values())))

    def _outcome(self, succeeded: int) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.failed.items()))
        failed = f"{sum(self.failed.values())} did not{f' ({kinds})' if kinds else ''}"
        late = f", {self._missing()} did not come" if self._missing() else ""
        within = f" within {self.timeout_s:g} s" if late and self.timeout_s else ""
        return f"{succeeded} succeeded, {failed}{late}{within}."


def told(found: "Bad") -> str:
    """What is wrong with an item, as text that no terminal obeys."""
    from streams.showing import plain

    begin = "Left out: " if found.left_out else ""
    where = found.where.capitalize() if _COUNTED.fullmatch(found.where) else found.where
    return plain(f"{begin}{where} {found.why}.")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _complain(loop: Any, context: dict[str, Any]) -> None:
    """Ctrl-C may meet a task of Kafka's client, which nobody asks how it ended: that is not worth a traceback."""
    if not isinstance(context.get("exception"), KeyboardInterrupt):
        loop.default_exception_handler(context)


def _tell(words: str) -> None:
    typer.echo(words, err=True)


def show(result: dict[str, Any], *, as_json: bool) -> None:
    """One line on standard output, at once."""
    import orjson

    from streams.showing import line

    sys.stdout.write(f"{orjson.dumps(result).decode() if as_json else line(result)}\n")
    sys.stdout.flush()
