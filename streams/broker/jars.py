"""Kafka's jars: each pinned by SHA-256 in `kafka-jars.sha256`, fetched with jgo, no Maven and no POM walk.

A folder named `kafka-<version>` is complete and checked, or not there: jars are gathered in `….part` and renamed at
the end, so an interrupted fetch goes on where it stopped and a finished one needs no network.
"""

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from streams.errors import SpineError

VERSION = "4.3.1"
PINS = Path(__file__).with_name("kafka-jars.sha256")
_AT_ONCE = 4


class JarsMissing(SpineError):
    """Kafka's jars could not be fetched; run `make setup` again with a network, it goes on where it stopped."""


class Pin(NamedTuple):
    """One line of the pin file: `sha256  group:artifact:version`."""

    sha256: str
    coordinate: str

    @property
    def file_name(self) -> str:
        """As Maven names it."""
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


def pins(path: Path = PINS) -> tuple[Pin, ...]:
    """Every jar that the broker and the tools need."""
    return tuple(Pin(*line.split()) for line in path.read_text().splitlines() if line.strip())


def folder(cache: Path) -> Path:
    """Where the jars of this version lie once they are fetched."""
    return cache / f"kafka-{VERSION}"


def fetched(cache: Path) -> bool:
    """Whether the folder is there and made from the very pins of this checkout; the hashes were checked before."""
    marker = folder(cache) / PINS.name
    return marker.is_file() and marker.read_bytes() == PINS.read_bytes()


def fetch(cache: Path) -> Path:
    """The folder of jars, fetched first where it is missing; several processes may ask at once."""
    if fetched(cache):
        return folder(cache)
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"kafka-{VERSION}.lock"):
        if not fetched(cache):
            _gather(cache)
    return folder(cache)


def verify(cache: Path) -> list[str]:
    """The names of jars that are missing or not what was pinned."""
    return [pin.file_name for pin in pins() if _sha256(folder(cache) / pin.file_name) != pin.sha256]


def _gather(cache: Path) -> None:
    part = cache / f"kafka-{VERSION}.part"
    part.mkdir(exist_ok=True)
    _adopt_old(folder(cache), part)
    wanted = [pin for pin in pins() if _sha256(part / pin.file_name) != pin.sha256]
    print(f"Fetching Apache Kafka {VERSION}: {len(wanted)} of {len(pins())} jars …", file=sys.stderr, flush=True)  # noqa: T201 (progress, for a person)
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda pin: _download(pin, part), wanted))
    except SpineError:
        raise
    except Exception as error:
        raise JarsMissing(
            f"Kafka's jars could not be fetched ({error}). "
            "Check the network and run `make setup` again; it goes on where it stopped."
        ) from error
    for stray in set(part.iterdir()) - {part / pin.file_name for pin in pins()}:
        shutil.rmtree(stray) if stray.is_dir() else stray.unlink()
    shutil.copy(PINS, part / PINS.name)
    part.rename(folder(cache))


def _adopt_old(old: Path, part: Path) -> None:
    """A folder made from other pins, or damaged, gives what it has; the hashes decide what is kept."""
    if old.is_dir():
        for jar in old.glob("*.jar"):
            jar.replace(part / jar.name)
        shutil.rmtree(old)


def _download(pin: Pin, part: Path) -> None:
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    group, artifact, version = pin.coordinate.split(":")
    repo = part / ".m2" / pin.sha256
    shutil.rmtree(repo, ignore_errors=True)  # jgo takes a half-written file for a whole one
    context = MavenContext(repo_cache=repo, local_repos=[], remote_repos={"central": MAVEN_CENTRAL_URL}, timeout=60)
    jar = context.project(group, artifact).at_version(version).artifact().resolve()
    if (found := _sha256(jar)) != pin.sha256:
        raise JarsMissing(
            f"{pin.coordinate} has SHA-256 {found}, not the pinned {pin.sha256}. "
            "Something between here and Maven Central changed it; don't use it, try from another network."
        )
    jar.replace(part / pin.file_name)


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
