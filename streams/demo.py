"""`genai-spine demo`, which `make run` calls: everything started, the shipped sample sent, answers and costs shown."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from agents import OPERATIONS
from providers import http
from schemas.request import Lane
from streams import given, logging, runtime, security, showing, submit, up, upfile
from streams.commands.books import table as costs_table
from streams.errors import SpineError
from streams.settings import Settings
from streams.upfile import Running

PATIENCE_S = 300.0
"""So long without any answer, and the demo gives up."""

_SAMPLE = Path(__file__).parent / "sample" / "feedspine.jsonl"
_PLAIN_WIDTH = 120


def demo(settings: Settings) -> int:
    """The exit code: 0 when every record of the sample got its answer. Raises SpineError."""
    logging.configure("warning", settings.log_format, redact=settings.redact)
    with runtime.runner() as runner:
        return runner.run(_demo(settings))


def sample() -> list[given.Line]:
    """The shipped records."""
    if not _SAMPLE.exists():
        raise SpineError(f"The sample is missing; it should be at {_SAMPLE}. Install the package again.")
    lines = list(given.parse(_SAMPLE.read_bytes().splitlines(), given.Wish(OPERATIONS)))
    for line in lines:
        if isinstance(line, given.Bad):
            raise SpineError(f"{_SAMPLE}, {line.where} {line.why}. Mend the sample.")
    return [line for line in lines if isinstance(line, given.Line)]


async def _demo(settings: Settings) -> int:
    screen = Screen()
    lines = sample()
    found = upfile.find(settings)
    if found is not None:
        screen.say(f"`genai-spine up` runs already on {settings.data()}; it gets the sample.")
        return await _show(settings, found, screen, lines)
    stop = asyncio.Event()
    settings.data().mkdir(parents=True, exist_ok=True)
    log = settings.data() / "up.log"
    screen.say(f"Starting; data and the serving process's log are in {settings.data()}.")
    async with up.started(settings, screen.say, stop, log) as supervised:
        if not await supervised.first_ready():
            screen.say(f"The serving process did not come up; see {log}.")
            return supervised.exit_code
        code = await _unless(stop, lambda: _show(settings, supervised.running(), screen, lines))
        if code is not None and screen.terminal:
            screen.say("Serving until Ctrl-C.")
            await stop.wait()
        screen.say("Stopping; a second Ctrl-C ends it at once.")
    return 1 if code is None else code


async def _unless(stop: asyncio.Event, work: Callable[[], Awaitable[int]]) -> int | None:
    """What `work` returns; None: told to stop before that."""
    doing, asked = asyncio.ensure_future(work()), asyncio.ensure_future(stop.wait())
    await asyncio.wait({doing, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not doing.done():
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
        return None
    return doing.result()


async def _show(settings: Settings, at: Running, screen: "Screen", lines: list[given.Line]) -> int:
    began = time.monotonic()
    bootstrap = security.brokers(settings, at.bootstrap)
    sent = await submit.send(settings, bootstrap, lines, Lane.NORMAL)
    tally, first = Tally(len(sent.identities)), 0.0
    with screen.progress(tally) as step:
        async for result in _patiently(submit.results(bootstrap, sent)):
            tally.add(result)
            first = first or time.time() - psutil.Process().create_time()
            step(result)
    took = time.monotonic() - began
    screen.answers(tally, at.provider)
    await screen.costs(settings, at)
    screen.addresses(at)
    missing = tally.total - len(tally.results)
    late = f" {missing} got no answer within {PATIENCE_S:.0f} s of the one before." if missing else ""
    again = f", {tally.replayed} of them recorded by an earlier run and not paid again" if tally.replayed else ""
    screen.say(
        f"{tally.succeeded} of {tally.total} records answered in {took:.1f} s, the first {first:.1f} s after the start{again}.{late}"
    )
    return 0 if tally.succeeded == tally.total else 1


async def _patiently(results: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """Ends when nothing came for too long."""
    try:
        while True:
            async with asyncio.timeout(PATIENCE_S):
                result = await anext(results)
            yield result
    except (StopAsyncIteration, TimeoutError):
        return


@dataclass
class Tally:
    """The results so far."""

    total: int
    results: list[dict[str, Any]] = field(default_factory=list)

    def add(self, result: dict[str, Any]) -> None:
        """One more."""
        self.results.append(result)

    @property
    def succeeded(self) -> int:
        return sum(result["status"] == "succeeded" for result in self.results)

    @property
    def replayed(self) -> int:
        return sum(bool(result["replayed"]) for result in self.results)


class Screen:
    """A terminal gets progress and colours, a pipe gets plain lines."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()
        self.console = Console() if self.terminal else Console(width=_PLAIN_WIDTH)

    def say(self, words: str) -> None:
        """One sentence."""
        self.console.print(words, markup=False, highlight=False, soft_wrap=True)

    @contextlib.contextmanager
    def progress(self, tally: Tally) -> Any:
        """Gives what is to be called with each result."""
        if not self.terminal:
            yield lambda result: self.say(f"[{len(tally.results):>3}/{tally.total}] {showing.line(result)}")
            return
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
        )
        with Progress(*columns, console=self.console) as bar:
            task = bar.add_task("waiting for the first answer", total=tally.total)
            yield lambda result: bar.update(
                task, advance=1, description=f"{result['operation']}: {showing.answer(result, 50)}"
            )

    def answers(self, tally: Tally, provider: str) -> None:
        """The table of answers, and a word on the tiny model."""
        made = Table(title="Answers", title_justify="left", show_lines=False)
        for name in ("operation", "id"):
            made.add_column(name, no_wrap=True)
        made.add_column("answer", overflow="fold", ratio=1)
        made.add_column("ms", justify="right", no_wrap=True)
        for result in sorted(tally.results, key=lambda found: (found["operation"], found["id"])):
            texts = (result["operation"], result["id"], showing.answer(result, 160), str(result["latency_ms"]))
            made.add_row(*map(_plain, texts))
        self.console.print(made)
        if provider == "local":
            self.say(
                "These answers are by a tiny model (SmolLM2-135M) that is here for trying things out: expect them to be "
                "clumsy or wrong. With an Ollama the same records get real ones."
            )

    async def costs(self, settings: Settings, at: Running) -> None:
        """What today cost, from the API."""
        today = datetime.now(UTC).date()
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        headers = {"x-api-key": key} if key else {}
        async with http.client() as client:
            reply = await http.send(
                client, "GET", f"{at.api}/v1/costs?from={today}&to={today}", timeout_s=10, headers=headers
            )
        if reply.is_success:
            self.console.print(costs_table(orjson.loads(reply.content)))

    def addresses(self, at: Running) -> None:
        """Where everything is, and lines to copy."""
        self.say(f"API            {at.api}    documentation: {at.api}/docs")
        self.say(f"State          {at.api}/ready    metrics: {at.worker}/metrics")
        self.say(f"Kafka          {at.bootstrap}")
        self.say("Try it, in another terminal:")
        for line in try_lines(at):
            self.say(f"  {line}")


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(showing.plain(text))


def try_lines(at: Running) -> list[str]:
    """A record in with key and header, the results out, and the same over HTTP."""
    text = "Apple CEO Tim Cook announced record sales in Cupertino on Monday. Shares rose 3%."
    record = orjson.dumps({"id": "try/1", "input": {"content": text, "max_sentences": 1}}).decode()
    body = orjson.dumps({"content": text, "max_sentences": 1}).decode()
    return [
        f"echo '{record}' | kcat -b {at.bootstrap} -P -t genai.requests.summarize -k feed-42 -H feed=sec-8k",
        f"kcat -b {at.bootstrap} -C -t genai.results -o beginning -e -f '%k  %h  %s\\n'",
        f"curl {at.api}/v1/summarize -H 'content-type: application/json' -d '{body}'",
    ]
