"""A process that does not get on ends with its stacks, and whoever supervises it starts another."""

import contextlib
import os
import threading
import time
import urllib.error
from pathlib import Path
from typing import Any

import pytest

from tests.streams.commands import ask, served
from tests.system import hooks_folder

pytestmark = pytest.mark.kafka


def answer(url: str, id_: str, within_s: float = 60) -> dict[str, Any]:
    """The request's result, whoever serves the address by then."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            found = ask(f"{url}/v1/requests/{id_}?tenant=default&operation=summarize")[1]
            if found.get("status") not in {"unfinished", None, 503}:
                return found
        time.sleep(0.1)
    raise AssertionError(f"{id_} was never answered")


def test_a_blocked_loop_ends_its_process_and_up_starts_one_that_finishes_its_work(tmp_path: Path) -> None:
    blocking = tmp_path / "blocking"
    told = {
        "GENAI_STALL_S": "3",
        "GENAI_TEST_BLOCK": str(blocking),
        "PYTHONPATH": f"{hooks_folder()}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    with served(tmp_path / "data", "up", **told) as one:
        url = one.said("Ready. API")["event"].split()[2]
        blocking.touch()

        def send() -> None:
            with contextlib.suppress(urllib.error.URLError, ConnectionError):  # it may die before it has said 202
                ask(f"{url}/v1/summarize?wait=0", {"id": "a", "content": "One."})

        sending = threading.Thread(target=send)
        sending.start()
        one.said("ended with exit code 1; it is started again")
        blocking.unlink()
        sending.join()
        found = answer(url, "a")
        stacks = one.log.read_text()
        assert one.stop() == 0
    assert ("Timeout (0:00:03)!" in stacks, "sitecustomize.py" in stacks) == (True, True)  # and they name the culprit
    assert (found["status"], found["attempts"]) == ("succeeded", 2)
