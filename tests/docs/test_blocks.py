"""Every command block of the README and the tutorial does what the page says, in the page's order, on one start."""

import socket
from pathlib import Path

import pytest

from tests.docs.pages import Command, steps
from tests.docs.terminals import ROOT, missing_tools, terminals

ANY = {"GENAI_API_PORT": "0", "GENAI_WORKER_PORT": "0", "GENAI_KAFKA_PORT": "0"}
PAGES = [
    # page, how it differs from what a reader has
    ("README.md", {"GENAI_DEFAULT_PROVIDER": "fake"}),  # 48 records are a minute and a half on the local model
    ("docs/tutorial/first-requests.md", {}),
]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.kafka
@pytest.mark.model
@pytest.mark.timeout(600)
@pytest.mark.skipif(missing_tools("kcat", "curl", "make", "bash") != [], reason="needs kcat, curl, make and bash")
@pytest.mark.parametrize(("page", "environment"), PAGES, ids=[page for page, _ in PAGES])
def test_every_block_of_a_page_does_what_the_page_says(page: str, environment: dict[str, str], tmp_path: Path) -> None:
    with terminals(tmp_path, {**ANY, **environment}, {"21434": str(free_port())}) as reader:
        for step in steps(ROOT / page):
            if isinstance(step, Command):
                reader.type(step)
            else:
                (tmp_path / step.name).write_text(step.text, encoding="utf-8")
        assert reader.leave()
