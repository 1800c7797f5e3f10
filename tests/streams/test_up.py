"""`genai-spine up` and `demo`, whole."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from providers.double.faults import Behaviour
from providers.fake_server import start
from streams import demo, up, upfile
from streams.broker import control
from streams.errors import SpineError
from tests.parts.kafka import make_settings
from tests.streams.commands import Served, ask, run, served


def _child(of: Served) -> psutil.Process:
    (found,) = [p for p in psutil.Process(of.process.pid).children() if "--child" in p.cmdline()]
    return found


def _until(what: object, within_s: float = 60) -> None:
    end = time.monotonic() + within_s
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_up_lives_through_everything_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """One long life, since each start costs ten seconds: answers, a second `up`, a dead child, a dead broker, the end."""
    data = tmp_path / "data"
    settings = make_settings(data_dir=data, kafka_brokers="", kafka_port=0)
    with served(data, "up") as one:
        url = one.said("Ready. API")["event"].split()[2]
        assert ask(f"{url}/v1/summarize", {"content": "One.", "id": "a"})[1]["status"] == "succeeded"

        second = run(data, "up")
        assert (second.returncode, "runs already" in second.stderr, url in second.stderr) == (1, True, True)

        _child(one).kill()
        one.said("started again")
        _until(lambda: ask(f"{url}/ready")[0] == 200)
        assert ask(f"{url}/v1/summarize", {"content": "One.", "id": "a"})[1]["replayed"] is True

        broker = control.status(settings)
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        one.said("The broker is gone")
        _until(lambda: control.status(settings).running)
        assert control.status(settings).bootstrap == broker.bootstrap
        _until(lambda: ask(f"{url}/ready")[0] == 200)

        sent = run(data, "submit", "-", "--wait", "--timeout", "60", given='{"operation": "embed", "content": "One."}')
        assert sent.returncode == 0, sent.stderr

        assert one.stop() == 0
    assert (control.status(settings).running, upfile.find(settings)) == (False, None)


@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_demo_uses_the_up_that_runs_and_pays_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with served(data, "up") as one:
        one.said("Ready. API")
        first, again = run(data, "demo"), run(data, "demo")
        assert (first.returncode, again.returncode) == (0, 0), first.stdout + first.stderr
        total = len(demo.sample())
        assert f"{total} of {total} records answered" in first.stdout
        assert f"{total} of them recorded by an earlier run" in again.stdout
        assert "kcat -b 127.0.0.1" in again.stdout
        child = _child(one)
        one.process.kill()  # its child must see that, drain, and go
        child.wait(60)
    control.stop(make_settings(data_dir=data, kafka_brokers="", kafka_port=0), timeout_s=5)


@pytest.mark.fast
def test_one_up_holds_a_data_directory(tmp_path: Path) -> None:
    settings = make_settings(data_dir=tmp_path)
    running = upfile.Running(1, "http://a", "http://w", "b:1", "fake")
    with upfile.locked(settings) as file:
        file.write(running)
        assert upfile.find(settings) == running
        with pytest.raises(upfile.AlreadyUp, match="http://a"), upfile.locked(settings):
            pass
    assert upfile.find(settings) is None


@pytest.mark.fast
async def test_the_built_in_model_is_taken_only_when_nobody_chose_and_no_ollama_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("GENAI_DEFAULT_PROVIDER", raising=False)
    nobody = "http://127.0.0.1:1"
    async with await start(how=Behaviour()) as ollama:
        rows = [
            ({"ollama_url": nobody}, "local", True),
            ({"ollama_url": f"{nobody},{ollama.url}"}, "ollama", False),
            ({"ollama_url": nobody, "default_provider": "ollama"}, "ollama", False),
            ({"ollama_url": nobody, "default_provider": "fake"}, "fake", False),
        ]
        for given, provider, told in rows:
            said: list[str] = []
            found = await up.with_provider(make_settings(**given), said.append)
            assert (found.default_provider, bool(said)) == (provider, told), given


@pytest.mark.fast
def test_the_sample_is_there_and_every_line_is_a_request() -> None:
    lines = demo.sample()
    assert len(lines) >= 40
    assert len({(line.tenant, line.operation, line.id) for line in lines}) == len(lines)


@pytest.mark.fast
def test_lines_to_try_are_whole() -> None:
    produce, consume, curl = demo.try_lines(upfile.Running(1, "http://a:1", "http://w", "h:9", "local"))
    record = json.loads(produce.split("'")[1])
    assert (record["id"], set(record["input"])) == ("try/1", {"content", "max_sentences"})
    assert ("-b h:9 -P" in produce, "-k feed-42 -H" in produce, "-b h:9 -C" in consume, "http://a:1" in curl) == (
        True,
        True,
        True,
        True,
    )


@pytest.mark.fast
async def test_who_is_told_to_stop_does_not_wait_for_the_sample() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, stop.set)

    async def long() -> int:
        await asyncio.sleep(60)
        return 0

    assert await asyncio.wait_for(demo._unless(stop, long), 2) is None


@pytest.mark.fast
async def test_a_data_directory_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(SpineError, match="another GENAI_DATA_DIR"),
        upfile.locked(make_settings(data_dir=tmp_path / "file")),
    ):
        pass
