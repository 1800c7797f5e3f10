"""The start page: true, escaped, and the same in a real browser."""

import base64
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas.request import LANE_NAMES
from streams import redact
from streams.web.front import Front
from streams.web.page import Facts, view
from tests.streams.commands import Served, ask, served
from tests.streams.webs import client, opened, web_settings

EVIL = '<img src=x onerror="alert(1)"><script>alert(2)</script>'
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


async def test_it_counts_what_there_is(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path)) as (front, spine), client(front) as api:
        for number in range(3):
            await api.post("/v1/summarize", json={"content": "One two.", "id": f"a{number}"})
        await api.post("/v1/summarize", json={"content": "x [fake:refused]"})
        spine.engine.draining = True
        await api.post("/v1/summarize?wait=0&lane=batch", json={"content": "later"})
        text = _words((await api.get("/")).text)
        costs = (await api.get("/v1/costs")).json()["totals"]["cost_usd"]
    assert re.search(r"1 waiting the oldest for \d+ s", text)
    assert "3 answered today" in text and "1 failed today" in text
    assert f"{costs} dollars today" in text
    assert re.search(r"batch 1 \d+ s 0 0", text)
    assert "succeeded summarize a0" in text and "refused: " in text


async def test_what_strangers_wrote_is_text(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path)) as (front, _), client(front) as api:
        body = {"messages": [{"role": "user", "content": EVIL}], "id": EVIL, "tenant": EVIL}
        assert (await api.post("/v1/complete", json=body)).status_code == 200
        reply = await api.get("/")
    assert ("<img" in reply.text, "<script>alert" in reply.text) == (False, False)
    assert "&lt;img src=x" in reply.text
    policy = reply.headers["content-security-policy"]
    assert ("script-src 'self'" in policy, "unsafe" in policy) == (True, False)
    assert "style=" not in reply.text and " on" + "click" not in reply.text


async def test_what_the_setting_names_is_masked(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path, redact="email,ssn")) as (front, _), client(front) as api:
        for id_ in ("open", "bob@example.org"):
            body = {"messages": [{"role": "user", "content": "Mail ada@example.org"}], "id": id_}
            assert (await api.post("/v1/complete", json=body)).status_code == 200
        text = (await api.get("/")).text
    assert ("example.org" in text, "Mail ***" in text, "/v1/requests/open" in text) == (False, True, True)


def test_models_are_masked_too() -> None:
    named: dict[str, Any] = {"provider": "of-ada@example.org", "model": "of-ada@example.org"}
    counts = dict.fromkeys(
        ("calls", "input_tokens", "output_tokens", "cost_nano", "unpriced_calls", "used", "total"), 1
    )
    rows: list[Any] = [SimpleNamespace(**named, **counts)]
    lanes: dict[str, dict[str, Any]] = {name: {"rate_per_s": None, "done_s": None} for name in LANE_NAMES}
    shown = view(Facts(0.0, {}, {}, [], slots=rows, costs=rows, lanes=lanes), redact.of("email"))
    assert [(each["provider"], each["model"]) for each in (*shown["slots"], *shown["costs"])] == [("***", "***")] * 2


async def test_the_live_part_alone_and_a_part_that_is_none(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path)) as (front, _), client(front) as api:
        part = await api.get("/?part=main")
        wrong = await api.get("/?part=../page")
    assert ("<html" in part.text, "Lanes" in part.text) == (False, True)
    assert (wrong.status_code, wrong.headers["content-type"]) == (422, "application/problem+json")


async def test_while_its_parts_are_away_it_says_for_what_it_waits(tmp_path: Path) -> None:
    front = Front(web_settings(tmp_path), "web")
    front.wait_for("waiting for the database <x>")
    async with client(front) as api:
        reply = await api.get("/")
    assert (reply.status_code, "waiting for the database &lt;x&gt;" in reply.text) == (503, True)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {"accept": "text/html"}, 401),
        ("GET", "/", {"authorization": "Basic " + base64.b64encode(b"anyone:k").decode()}, 200),
        ("GET", "/", {"authorization": "Basic " + base64.b64encode(b"anyone:kk").decode()}, 401),
        ("GET", "/", {"authorization": "Basic !"}, 401),
        ("GET", "/", {"x-api-key": "k"}, 200),
        ("GET", "/v1/costs", {"authorization": "Basic " + base64.b64encode(b":k").decode()}, 200),
        ("POST", "/v1/summarize", {"authorization": "Basic " + base64.b64encode(b":k").decode()}, 401),
        ("GET", "/assets/page.css", {}, 200),
    ],
)
async def test_with_a_key_a_browser_asks_for_it_and_may_only_look(
    tmp_path: Path, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    async with opened(web_settings(tmp_path, api_key="k")) as (front, _), client(front) as api:
        reply = await api.request(method, path, headers=headers, json={"content": "x"} if method == "POST" else None)
    assert reply.status_code == status
    challenge = reply.headers.get("www-authenticate", "")
    assert challenge.startswith("Basic") == (status == 401 and "accept" in headers)


def _words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html.replace("<th", " <th").replace("<td", " <td")).split())


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Served, str]]:
    if BROWSER is None:
        pytest.skip("no Chromium is installed (Debian's package `chromium`)")
    with served(tmp_path / "web", "web") as made:
        url = made.said("the API listens")["url"]
        made.said("ready")
        ask(f"{url}/v1/complete", {"prompt": EVIL, "id": EVIL})
        ask(f"{url}/v1/classify", {"content": "I was charged twice.", "categories": ["billing", "praise"], "id": "b/1"})
        yield made, url


def browse(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A browser of its own for one look."""
    assert BROWSER is not None
    usual = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [BROWSER, *usual, profile, "--enable-logging=stderr", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_real_browser_shows_it_and_refuses_nothing(web: tuple[Served, str], tmp_path: Path) -> None:
    _, url = web
    found = browse(tmp_path, "--virtual-time-budget=6000", "--dump-dom", url)
    text = _words(found.stdout)
    assert "2 answered today" in text and "billing" in text
    assert re.search(r'<p id="link" role="status"[^>]*>live</p>', found.stdout)  # the script ran and was answered
    assert "<img" not in found.stdout
    assert [line for line in found.stderr.splitlines() if "CONSOLE" in line] == []


def test_the_reference_too(web: tuple[Served, str], tmp_path: Path) -> None:
    _, url = web
    found = browse(tmp_path, "--dump-dom", f"{url}/docs")
    assert "/v1/summarize" in found.stdout
    assert [line for line in found.stderr.splitlines() if "CONSOLE" in line] == []


def test_it_takes_a_picture(web: tuple[Served, str], tmp_path: Path) -> None:
    _, url = web
    picture = tmp_path / "page.png"
    browse(tmp_path, "--window-size=390,844", f"--screenshot={picture}", url)
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 5000
