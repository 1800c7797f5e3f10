"""What is built from this checkout runs elsewhere: a wheel in an environment of its own, and an sdist without strays."""

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.deploy.files import ROOT

ROOMS = ("schemas", "providers", "prompts", "store", "agents", "streams")
DATA = (
    "prompts/library/summarize.yaml",
    "prompts/library/versions.lock",
    "store/migrations/env.py",
    "store/migrations/script.py.mako",
    "store/migrations/versions/0001_ledger.py",
    "streams/broker/kafka-jars.sha256",
    "streams/broker/log4j2.properties",
    "streams/quality/question.txt",
    "streams/quality/reports.jsonl",
    "streams/sample/feedspine.jsonl",
)
FOLDERS = {*ROOMS, "bench", "clients", "deploy", "docs", "examples", "scripts", "tests"}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both, built by the locked hatchling, without a network."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True, capture_output=True
    )
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("genai_spine-*.whl")
    return found


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it; it borrows the dependencies of this one, whose editable install it does not see."""
    home = tmp_path_factory.mktemp("elsewhere")
    venv.create(home / "venv", with_pip=False, symlinks=True)
    python = home / "venv/bin/python"
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", wheel]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True, capture_output=True)
    (packages,) = (home / "venv/lib").glob("python3*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def run(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """In another folder, with nothing of this checkout in the environment."""
    environment = {"PATH": f"{home}/venv/bin:/usr/bin:/bin", "HOME": str(home)}
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=60, check=False)


def tracked() -> set[str]:
    found = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("this is no git checkout: nothing says which files belong to it")
    return {line for line in found.stdout.splitlines() if (ROOT / line).exists()}


def test_the_wheel_holds_the_rooms_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {name for name in tracked() if name.split("/")[0] in ROOMS}
    assert set(DATA) <= names


def test_the_sdist_holds_what_is_tracked_and_no_strays(dist: Path) -> None:
    (sdist,) = dist.glob("genai_spine-*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    belongs = tracked()
    assert names - belongs == {"PKG-INFO"}
    assert {name for name in belongs - names if name.split("/")[0] in FOLDERS} == set()
    assert {"LICENSE", "README.md", "pyproject.toml", "requirements.lock", "Dockerfile"} <= names


def test_the_command_runs_in_another_folder(elsewhere: Path) -> None:
    shown = run(elsewhere, "genai-spine", "--help")
    assert (shown.returncode, "worker" in shown.stdout, shown.stderr) == (0, True, "")


def test_each_room_can_be_imported_by_itself_and_is_that_of_the_wheel(elsewhere: Path) -> None:
    for room in ROOMS:
        found = run(elsewhere, "python", "-c", f"import {room}; print({room}.__file__)")
        assert found.returncode == 0, found.stderr
        assert Path(found.stdout.strip()).is_relative_to(elsewhere), found.stdout


def test_it_finds_its_data_there(elsewhere: Path) -> None:
    """The migrations make a database, and the prompt library loads."""
    made = run(elsewhere, "genai-spine", "migrate")
    assert (made.returncode, made.stdout) == (0, "The schema is up to date.\n"), made.stderr
    loaded = run(elsewhere, "python", "-c", "from prompts import Library; Library.load()")
    assert loaded.returncode == 0, loaded.stderr
