"""The double's server as a process of its own, until a signal ends it."""

import asyncio
import contextlib
import signal
from collections.abc import Callable

from providers.double.faults import Behaviour
from providers.fake_server import MODELS, start


def serve(
    host: str,
    port: int,
    how: Behaviour,
    *,
    slots: int = 0,
    models: tuple[str, ...] = MODELS,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Block until SIGTERM or SIGINT; `ready` is told the address once it listens. Raises OSError: the port is taken."""
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        runner.run(_until_stopped(host, port, how, slots, models, ready))


async def _until_stopped(
    host: str, port: int, how: Behaviour, slots: int, models: tuple[str, ...], ready: Callable[[str], None]
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C interrupts the runner by itself
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await start(host, port, how, slots=slots, models=models) as server:
        ready(server.url)
        await stop.wait()


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return loop
