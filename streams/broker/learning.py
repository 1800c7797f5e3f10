"""Java keeps what it has learnt of Kafka's classes, so that each later start takes half of the CPU and of the time.

`python -m streams.broker.learning`, which `make setup` calls: it runs a broker on an empty folder for a moment. Without its archive,
or with one that this Java does not take, brokers start as ever.
"""

import os
import tempfile
from pathlib import Path

from streams import settings as environment
from streams.broker import config, control, jars, ports, process, storage
from streams.broker.process import Home

_WRITES_S = 120.0
"""Java writes its archive when it ends."""


def learn(cache: Path) -> Path:
    """The archive, made where there is none."""
    jar_folder = jars.fetch(cache)
    archive = process.archive(jar_folder)
    if archive.exists():
        return archive
    fresh = archive.with_suffix(f".{os.getpid()}")
    try:
        with tempfile.TemporaryDirectory() as folder:
            _run(Home(Path(folder)), jar_folder, fresh)
        fresh.replace(archive)
    finally:
        fresh.unlink(missing_ok=True)
    return archive


def _run(home: Home, jar_folder: Path, fresh: Path) -> None:
    home.path.mkdir(parents=True, exist_ok=True)
    cluster = storage.format_once(home, jar_folder)
    listening = ports.choose(None, 0).ports
    home.properties.write_text(config.server_properties(listening, Path(home.logs.name), max_bytes=1024 * 1024))
    found = process.launch(home, jar_folder, [f"-XX:AOTCacheOutput={fresh}"])
    try:
        control.await_ready(home, found, listening, cluster, control.READY_S)
        found.terminate()
        found.wait(timeout=_WRITES_S)
    finally:
        if found.is_running():
            found.kill()


if __name__ == "__main__":
    learn(environment.load().cache())
