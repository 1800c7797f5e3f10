"""Faults that a child process of a test brings with it; Python imports this by itself where this folder is on its path.

GENAI_TEST_CLOCK: a file with the seconds by which this process's wall clock is wrong, looked at each time it is asked.
GENAI_TEST_BLOCK: a file; while it is there, a call to the double stops the whole process's event loop.
"""

import os
import time
from pathlib import Path


def _set_the_clock(by: Path) -> None:
    right = time.time

    def wrong() -> float:
        return right() + float(by.read_text() or 0)

    time.time = wrong


def _block(while_there: Path) -> None:
    from providers import fake

    chat = fake.FakeProvider.chat

    async def blocking(self, *args):
        while while_there.exists():
            time.sleep(0.05)
        return await chat(self, *args)

    fake.FakeProvider.chat = blocking


if "GENAI_TEST_CLOCK" in os.environ:
    _set_the_clock(Path(os.environ["GENAI_TEST_CLOCK"]))
if "GENAI_TEST_BLOCK" in os.environ:
    _block(Path(os.environ["GENAI_TEST_BLOCK"]))
