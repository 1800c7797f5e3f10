"""A progress bar for a terminal; nothing for a pipe."""

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def bar(total: int) -> Iterator[Callable[[], None]]:
    """Gives what is to be called with each step. On standard error, so that results can go into a pipe."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    columns = (BarColumn(bar_width=None), MofNCompleteColumn(), TimeElapsedColumn())
    both = sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=both, transient=True) as shown:
        task = shown.add_task("", total=total)
        yield lambda: shown.advance(task)
