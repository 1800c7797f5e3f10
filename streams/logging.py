"""Logs: structlog to standard error, for people at a terminal and as JSON elsewhere.

Lines carry ids and counts, never what a user sent: what an exception says may quote it, so a traceback shows where and of
which type, and the words only at `debug`. Faust, aiokafka and mode log through the standard library and repeat themselves
while a broker is away: they speak from `warning` on, the same words come once in a while, and what heals by itself is a
warning only if it lasts.
"""

import json
import logging
import sys
import time
import traceback
from typing import Any, TextIO

import structlog

from streams import redact as redaction
from streams.showing import plain

_REPEAT_S = 30.0
_LASTS_S, _OVER_S = 10.0, 5.0
_HEALS = ("GroupCoordinatorNotAvailableError", "GroupLoadInProgressError", "NotCoordinatorForGroupError")
"""A broker that has just started says so for a second or two, and its client asks again by itself."""
_OURS = frozenset({"timestamp", "level", "logger"})


def configure(level: str = "info", form: str = "auto", stream: TextIO | None = None, redact: str = "") -> None:
    """For the whole process. `form`: `console`, `json`, or `auto` (console when the stream is a terminal). Raises SpineError."""
    masks = redaction.of(redact)
    stream = stream or sys.stderr
    pretty = form == "console" or (form == "auto" and stream.isatty())
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty),
    ]
    after: list[Any] = [_told(level == "debug"), *([_masked(masks)] if masks else [])]
    after += [_as_text, _console(stream)] if pretty else [_as_json]
    structlog.configure(
        processors=[*before, *after],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    _adopt(before, after, stream)


def _console(stream: TextIO) -> Any:
    return structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)


def _told(fully: bool) -> Any:
    """`exc_info` as text."""

    def told(_logger: Any, _name: str, event: Any) -> Any:
        given = event.pop("exc_info", None)
        error = given if isinstance(given, BaseException) else given[1] if isinstance(given, tuple) else None
        error = error or (sys.exc_info()[1] if given else None)
        if error is not None:
            event["exception"] = "".join(traceback.format_exception(error)) if fully else trace(error)
        return event

    return told


def trace(error: BaseException) -> str:
    """Where it came from and of which type, its causes first; its words only where they cannot quote a record."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    begun = "" if before is None else f"{trace(before)}\nThen:\n"
    said = f": {error}" if _is_of_the_machine(error) else ""
    below = "".join(f"\n{trace(one)}" for one in error.exceptions) if isinstance(error, BaseExceptionGroup) else ""
    return f"{begun}{''.join(traceback.format_tb(error.__traceback__))}{type(error).__qualname__}{said}{below}"


def _is_of_the_machine(error: BaseException) -> bool:
    return isinstance(error, OSError) or type(error).__module__.startswith("aiokafka.")


def _masked(masks: redaction.Redactor) -> Any:
    def mask(_logger: Any, _name: str, event: Any) -> Any:
        return {name: value if name in _OURS else masks.field(name, value) for name, value in event.items()}

    return mask


def _as_text(_logger: Any, _name: str, event: Any) -> Any:
    """An id may hold what a terminal obeys."""
    return {name: plain(value, keep="\n\t") if isinstance(value, str) else value for name, value in event.items()}


def _as_json(_logger: Any, _name: str, event: Any) -> str:
    return json.dumps({"event": event.pop("event", ""), **event}, default=str, ensure_ascii=False)


def _adopt(before: list[Any], after: list[Any], stream: TextIO) -> None:
    """The standard library's loggers write the same lines, from `warning` on."""
    handler = logging.StreamHandler(stream)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, structlog.stdlib.add_logger_name], processors=[remove, *after]
        )
    )
    handler.addFilter(Healing())
    handler.addFilter(Seldom())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    for name in ("faust", "mode", "aiokafka", "kafka", "uvicorn", "uvicorn.error", "alembic", "asyncio"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger(name).propagate = True


class Healing(logging.Filter):
    """What heals by itself is nothing at first, and a warning when it has lasted."""

    def __init__(self, lasts_s: float = _LASTS_S, over_s: float = _OVER_S) -> None:
        super().__init__()
        self.lasts_s, self.over_s = lasts_s, over_s
        self._seen: dict[str, tuple[float, float]] = {}
        """By kind: when it began, and when it was said last."""

    def filter(self, record: logging.LogRecord) -> bool:
        words = record.getMessage()
        kind = next((kind for kind in _HEALS if kind in words), None)
        if kind is None:
            return True
        now = time.monotonic()
        began, last = self._seen.get(kind, (now, now))
        began = began if now - last < self.over_s else now
        self._seen[kind] = (began, now)
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        return now - began >= self.lasts_s


class Seldom(logging.Filter):
    """The same words of the same logger once in half a minute: a client without its broker says them ten times a second."""

    def __init__(self, every_s: float = _REPEAT_S) -> None:
        super().__init__()
        self.every_s = every_s
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, str(record.msg))
        now = time.monotonic()
        if len(self._said) > 1000:
            self._said.clear()
        if now - self._said.get(key, -self.every_s) < self.every_s:
            return False
        self._said[key] = now
        return True
