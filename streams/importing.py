"""Imports without the garbage collector, and commands that hardly need it."""

import contextlib
import gc
from collections.abc import Iterator

_USUAL = gc.get_threshold()
_SELDOM = 100_000
"""A command imports eighty thousand objects, and few of them are ever garbage."""


def seldom() -> None:
    """For a command that looks and ends: Python would look through what it imports two hundred times, for a fifth of its
    CPU. One that goes on, with `--watch`, still gets rid of what it leaves.
    """
    gc.set_threshold(_SELDOM)


def leave() -> None:
    """At the end of a process: what is left goes with it, without one last look through all of it."""
    gc.freeze()


@contextlib.contextmanager
def all_stays() -> Iterator[None]:
    """For the imports of a process that serves: a hundred thousand objects, all of which stay. To look through them again and
    again for garbage took a sixth of the CPU of a start. Behind them the collector is Python's own again.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.set_threshold(*_USUAL)
        gc.enable()
