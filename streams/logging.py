"""Logs: structlog to standard error, for people at a terminal and as JSON elsewhere.

Lines carry ids and counts, never what a user sent. Faust, aiokafka and mode log through the standard library and repeat
themselves while a broker is away: they speak from `warning` on, and the same words come once in a while.
"""

import json
import logging
import sys
import time
from typing import Any, TextIO

import structlog

_REPEAT_S = 30.0


def configure(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """For the whole process. `form`: `console`, `json`, or `auto` (console when the stream is a terminal)."""
    stream = stream or sys.stderr
    pretty = form == "console" or (form == "auto" and stream.isatty())
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if pretty else "iso", utc=not pretty),
    ]
    after: list[Any] = [_console(stream)] if pretty else [structlog.processors.format_exc_info, _as_json]
    structlog.configure(
        processors=[*before, *after],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    _adopt(before, after, stream)


def _console(stream: TextIO) -> Any:
    return structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)


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
    handler.addFilter(Seldom())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    for name in ("faust", "mode", "aiokafka", "kafka", "uvicorn", "uvicorn.error", "alembic", "asyncio"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger(name).propagate = True


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
