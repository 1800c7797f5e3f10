"""Work that nobody waits for, and whose error nobody hears."""

import asyncio
from collections.abc import Coroutine
from typing import Any


def later(work: Coroutine[Any, Any, None]) -> None:
    """Begin it beside everything else."""
    done = asyncio.create_task(work)
    done.add_done_callback(lambda finished: finished.cancelled() or finished.exception())
