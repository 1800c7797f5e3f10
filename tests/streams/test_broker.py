"""The embedded broker, for real: started, adopted, killed, and started again on the same data."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from streams.broker import config, control, errors, jars, ports, probe, process
from streams.broker.process import Home, State
from streams.settings import Settings
from tests.parts.kafka import make_settings


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    made = make_settings(data_dir=tmp_path, kafka_port=0, kafka_brokers="")
    yield made
    control.stop(made, timeout_s=5)


def run_code(data_dir: Path, code: str, **environment: str) -> subprocess.Popen[str]:
    """A process of its own that starts the broker by the same call as the command."""
    prelude = "from streams import settings; from streams.broker import control; s = settings.load();"
    env = (
        os.environ | {"GENAI_DATA_DIR": str(data_dir), "GENAI_KAFKA_PORT": "0", "GENAI_KAFKA_BROKERS": ""} | environment
    )
    return subprocess.Popen([sys.executable, "-c", prelude + code], env=env, stdout=subprocess.PIPE, text=True)


@pytest.mark.kafka
def test_the_life_of_a_broker(settings: Settings) -> None:
    """In one test, because each start costs seconds: started, adopted, killed, recovered, stopped."""
    started = control.start(settings)
    assert (started.running, started.adopted, started.version) == (True, False, jars.VERSION)
    assert control.bootstrap(settings) == started.bootstrap

    adopted = control.start(settings)
    assert (adopted.adopted, adopted.pid, adopted.bootstrap) == (True, started.pid, started.bootstrap)

    Home(settings.data()).state.unlink()
    found = control.start(settings)
    assert (found.adopted, found.pid) == (True, started.pid), "a lost state file does not lose the broker"

    assert started.pid is not None
    os.kill(started.pid, signal.SIGKILL)
    psutil.Process(started.pid).wait(10)
    assert control.status(settings).running is False
    recovered = control.start(settings)
    assert (recovered.running, recovered.bootstrap) == (True, started.bootstrap)
    assert recovered.pid != started.pid

    assert control.stop(settings) == f"Stopped the broker (pid {recovered.pid})."
    assert control.stop(settings).startswith("No broker runs on")
    assert "Kafka Server started" in "\n".join(control.log_lines(settings, 2000))
    with pytest.raises(errors.NotRunning, match="broker start"):
        control.bootstrap(settings)


@pytest.mark.kafka
def test_two_starts_at_once_get_the_same_broker(settings: Settings) -> None:
    line = "print(control.start(s).pid)"
    both = [run_code(settings.data(), line) for _ in range(2)]
    assert len({child.communicate(timeout=120)[0].strip() for child in both}) == 1
    assert all(child.returncode == 0 for child in both)


@pytest.mark.kafka
def test_it_survives_its_starter_even_when_that_is_killed_half_way(settings: Settings) -> None:
    home = Home(settings.data())
    starter = run_code(settings.data(), "control.start(s)")
    deadline = time.monotonic() + 60
    while process.holder(home) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    starter.kill()
    starter.communicate()
    orphan = process.holder(home)
    found = control.start(settings)
    assert orphan is not None
    assert (found.adopted, found.running, found.pid) == (True, True, orphan.pid)


@pytest.mark.kafka
def test_a_taken_port_is_told_and_the_chosen_one_is_kept(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = make_settings(data_dir=tmp_path, kafka_port=port, kafka_brokers="")
        told: list[str] = []
        try:
            first = control.start(settings, tell=told.append)
            control.stop(settings)
            assert told == list(first.notices)
            assert told[0].startswith(
                f"Port {port} is taken by another program; the broker listens on {first.bootstrap}"
            )
            again = control.start(settings)
            assert (again.bootstrap, again.notices) == (first.bootstrap, ())
        finally:
            control.stop(settings)


@pytest.mark.kafka
def test_a_broker_that_cannot_start_says_why_and_what_to_do(settings: Settings) -> None:
    control.start(settings)
    control.stop(settings)
    meta = Home(settings.data()).logs / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1", "node.id=7"))
    with pytest.raises(errors.NotStarted, match=r"(?s)ended while it was starting.*broker logs.*last lines.*node"):
        control.start(settings)


@pytest.mark.fast
def test_a_stale_state_file_names_nobody(tmp_path: Path) -> None:
    """The pid lives, but it was born at another time and is something else."""
    home = Home(tmp_path)
    home.path.mkdir()
    home.write_state(State(os.getpid(), 1.0, "127.0.0.1:1", "1", 9092, config.Ports(1, 2)))
    assert (process.holder(home), home.read_state() is None) == (None, False)
    home.state.write_text('{"pid": 1')
    assert home.read_state() is None


@pytest.mark.fast
def test_a_strangers_lock_on_the_data_is_respected(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.logs.mkdir(parents=True)
    (home.logs / ".lock").touch()
    hold = "import fcntl,sys; f=open(sys.argv[1],'r+'); fcntl.lockf(f,fcntl.LOCK_EX); print('held',flush=True); sys.stdin.read()"
    child = subprocess.Popen(
        [sys.executable, "-c", hold, str(home.logs / ".lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(errors.NotOurs, match="in use by a process"):
            control.start(make_settings(data_dir=tmp_path, kafka_brokers=""))
        child.communicate("")
    assert process.held_by_stranger(home) is False


@pytest.mark.fast
def test_data_without_its_id_is_never_formatted_over(tmp_path: Path) -> None:
    home = Home(tmp_path)
    (home.logs / "genai.results-0").mkdir(parents=True)
    if not jars.fetched(make_settings().cache()):
        pytest.skip("needs Kafka's jars: make setup")
    with pytest.raises(errors.NotStarted, match=r"no meta\.properties"):
        control.start(make_settings(data_dir=tmp_path, kafka_brokers=""))


@pytest.mark.fast
def test_with_brokers_set_nothing_embedded_is_started_or_stopped(tmp_path: Path) -> None:
    settings = make_settings(data_dir=tmp_path, kafka_brokers="127.0.0.1:1,127.0.0.1:2")
    assert control.bootstrap(settings, start_it=True) == "127.0.0.1:1,127.0.0.1:2"
    for refused in (control.start, control.stop):
        with pytest.raises(errors.NotOurs, match=r"127\.0\.0\.1:1"):
            refused(settings)
    assert control.status(settings).running is False
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fast
def test_an_unwritable_data_directory_is_told() -> None:
    with pytest.raises(errors.NotStarted, match="cannot be written"):
        control.start(make_settings(data_dir=Path("/dev/null/x"), kafka_brokers=""))


@pytest.mark.fast
@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("java.io.IOException: No space left on device", "The disk is full"),
        ("BindException: Address already in use", "GENAI_KAFKA_PORT"),
        ("[Errno 13] Permission denied: '/x'", "permissions"),
        ("anything else", "broker logs -n 200"),
    ],
)
def test_each_cause_has_its_remedy(said: str, words: str) -> None:
    assert words in errors.remedy(said)


@pytest.mark.fast
def test_the_ports_stay_while_the_wish_is_the_same() -> None:
    free = ports.choose(None, 0).ports
    last = State(1, 0.0, free.bootstrap, "1", 9999, free)
    assert ports.choose(last, 9999) == (free, None)
    other = ports.choose(None, 0).ports.broker
    assert ports.choose(last, other).ports.broker == other, "a new wish is tried first"
    with socket.create_server(("127.0.0.1", free.broker)):
        moved = ports.choose(last, free.broker)
        assert moved.ports.broker != free.broker
        assert moved.notice is not None
        assert moved.notice.startswith(f"Port {free.broker} is taken")


@pytest.mark.fast
def test_server_properties_say_their_ports_and_escape_what_java_would_misread() -> None:
    text = config.server_properties(config.Ports(9092, 9093), Path("ü\\x"), 1024)
    assert config.ports_of(text) == (9092, 9093)
    assert "log.dirs=\\u00fc\\\\x\n" in text
    assert config.ports_of("listeners=PLAINTEXT://:x\n") is None


@pytest.mark.fast
def test_what_answers_but_is_not_kafka_is_not_a_broker() -> None:
    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,))
        thread.start()
        assert probe.cluster_id("127.0.0.1", server.getsockname()[1], 1.0) is None
        thread.join()
    assert probe.cluster_id("127.0.0.1", 1) is None


@pytest.mark.fast
def test_every_jar_is_pinned_once() -> None:
    pins = jars.pins()
    assert all(len(pin.sha256) == 64 for pin in pins)
    assert len({pin.file_name for pin in pins}) == len(pins)
    assert f"kafka_2.13-{jars.VERSION}.jar" in {pin.file_name for pin in pins}


@pytest.mark.fast
def test_a_damaged_or_interrupted_fetch_is_repaired_without_fetching_what_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = jars.folder(make_settings().cache())
    if not source.is_dir():
        pytest.skip("needs Kafka's jars: make setup")
    part = tmp_path / f"kafka-{jars.VERSION}.part"
    part.mkdir()
    whole, half = jars.pins()[0], jars.pins()[1]
    for pin in jars.pins():
        (part / pin.file_name).hardlink_to(source / pin.file_name)
    (part / half.file_name).unlink()
    (part / half.file_name).write_bytes(b"half")
    fetched: list[str] = []

    def copy(pin: jars.Pin, into: Path) -> None:
        fetched.append(pin.file_name)
        (into / pin.file_name).unlink(missing_ok=True)
        (into / pin.file_name).hardlink_to(source / pin.file_name)

    monkeypatch.setattr(jars, "_download", copy)
    folder = jars.fetch(tmp_path)
    assert (fetched, jars.verify(tmp_path), (folder / whole.file_name).exists()) == ([half.file_name], [], True)
    assert jars.fetch(tmp_path) == folder
    assert fetched == [half.file_name], "a second run asks for nothing"


@pytest.mark.kafka
async def test_it_is_started_from_inside_a_running_loop(settings: Settings) -> None:
    assert (await asyncio.to_thread(control.start, settings)).running
    with ThreadPoolExecutor(4) as pool:
        pids = {found.pid for found in pool.map(lambda _: control.start(settings), range(4))}
    assert len(pids) == 1
    assert set(json.loads(json.dumps(control.status(settings).as_json()))) >= {
        "running",
        "bootstrap",
        "pid",
        "data_dir",
        "version",
    }


@pytest.mark.fast
def test_a_broker_is_started_with_what_java_has_learnt_where_it_has(tmp_path: Path) -> None:
    jar_folder, home = tmp_path / "kafka-1", Home(tmp_path)
    archive = process.archive(jar_folder)
    plain = process.command(jar_folder, home, "kafka.Kafka", "a")
    archive.touch()
    learnt = process.command(jar_folder, home, "kafka.Kafka", "a")
    learning = process.command(jar_folder, home, "kafka.Kafka", "a", options=["-XX:AOTCacheOutput=b"])
    assert sorted(set(learnt) - set(plain)) == [f"-XX:AOTCache={archive}"]
    assert sorted(set(learning) - set(plain)) == ["-XX:AOTCacheOutput=b"]
    assert plain[-2:] == learnt[-2:] == ["kafka.Kafka", "a"]
