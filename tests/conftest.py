"""The parts that tests stand on; each gives an address, wherever it comes from."""

import gc
import signal
from pathlib import Path

import pytest

pytest_plugins = ["tests.parts.shared", "tests.parts.kafka", "tests.parts.postgres", "tests.parts.ledgers"]

# a shell starts what runs in the background with Ctrl-C ignored, and children inherit that: theirs would never arrive
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_LONG = ("chaos", "system", "docs", "examples", "streams")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders whose tests take long come first, so that what is left at the end is short enough to share."""
    order = {name: i for i, name in enumerate(_LONG)}
    folders = Path(__file__).parent
    items.sort(key=lambda item: order.get(item.path.relative_to(folders).parts[0], len(order)))


def pytest_collection(session: pytest.Session) -> None:
    """Thousands of tests are collected and stay: nothing of them is garbage until the end."""
    gc.disable()


def pytest_collection_finish(session: pytest.Session) -> None:
    gc.freeze()
    gc.enable()
