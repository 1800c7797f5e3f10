"""One server for all workers of pytest-xdist: the first to ask starts it, the controlling process stops it.

The controller makes one temp folder and hands it on by the environment. A server's address lies there in a file; a
file lock makes the second asker wait for the first.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_ENV = "GENAI_TEST_SHARED"


def folder() -> Path:
    return Path(os.environ[_ENV])


def address(name: str, start: Callable[[], str]) -> str:
    """The address of the shared server `name`, started by the first who asks."""
    with _locked(folder() / f"{name}.lock"):
        found = folder() / f"{name}.address"
        if not found.exists():
            found.write_text(start())
        return found.read_text()


def docker_answers() -> bool:
    """Looked at without testcontainers, whose import alone takes a second."""
    if not (os.environ.get("DOCKER_HOST") or Path("/var/run/docker.sock").exists()):
        return False
    import docker

    try:
        return bool(docker.from_env(timeout=3).ping())
    except docker.errors.DockerException:
        return False


def keep_container(name: str, container_id: str) -> None:
    """The controller removes it; testcontainers' own reaper would, as soon as the first worker ends."""
    (folder() / f"{name}.container").write_text(container_id)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        os.environ[_ENV] = tempfile.mkdtemp(prefix="genai-test-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput") or _ENV not in os.environ:
        return
    from tests.parts import kafka, postgres

    for stop in (kafka.stop, postgres.stop, _remove_containers):
        with suppress(Exception):  # the next part is stopped all the same
            stop()
    shutil.rmtree(os.environ.pop(_ENV), ignore_errors=True)


def _remove_containers() -> None:
    for file in folder().glob("*.container"):
        import docker

        docker.from_env().containers.get(file.read_text()).remove(force=True, v=True)
