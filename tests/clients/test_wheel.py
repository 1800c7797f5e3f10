"""The client's own wheel, in an environment of its own: nothing of the server is there, and nothing is missed."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from tests.deploy.files import ROOT

HOME = ROOT / "clients" / "python"
PACKAGE = HOME / "src"
ASKS = """
import importlib.util, sys
assert importlib.util.find_spec("schemas") is None and importlib.util.find_spec("streams") is None
from genai_spine_client import AsyncGenAIClient, Dispatcher, GenAIClient, errors
assert "aiokafka" not in sys.modules
from genai_spine_client.kafka import KafkaClient
try:
    with GenAIClient("http://127.0.0.1:1", timeout=0.1) as client:
        client.models()
except errors.Unreachable as error:
    print(error)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(build, cwd=HOME, check=True, capture_output=True)
    (found,) = folder.glob("genai_spine_client-*.whl")
    return found


def test_it_holds_the_package_and_asks_for_little(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        told = Parser().parsestr(archive.read(metadata).decode())
    there = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*") if path.suffix in {".py", ".typed"}}
    needs = [line.partition(";")[0].rstrip("0123456789.<>=,* ") for line in told.get_all("Requires-Dist") or []]
    assert names == there
    assert sorted(needs) == ["aiokafka", "httpx", "pydantic"]
    assert all(
        ("extra == 'kafka'" in line) == line.startswith("aiokafka") for line in told.get_all("Requires-Dist") or []
    )


def test_it_works_where_the_server_is_not(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv/bin/python"
    install = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", wheel]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True, capture_output=True)
    (packages,) = (tmp_path / "venv/lib").glob("python3*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    found = subprocess.run([python, "-c", ASKS], cwd=tmp_path, env={}, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout.startswith("No answer at http://127.0.0.1:1/v1/models")) == (0, True), found
