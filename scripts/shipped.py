"""What is shipped: the packages that the project needs when it runs, out of a lock that also holds the tools.

`python -m scripts.shipped` prints their lines of `requirements.lock`, hashes and all; the Dockerfile installs those. The
walk goes over the metadata of what is installed here, so it needs no index, and nobody keeps a second lock.
"""

import functools
import re
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
MODELS_LOCK = ROOT / "requirements-models.lock"


class NotInstalled(Exception):
    """A package that the project needs is not installed here; run `make setup`."""


@dataclass(frozen=True, slots=True)
class Package:
    """One shipped distribution."""

    name: str
    version: str
    needs: tuple[str, ...]


def blocks(lock: Path) -> dict[str, str]:
    """Package -> its lines. One that is locked at two versions, by Python's version, has the lines of both."""
    found: dict[str, str] = {}
    for block in re.findall(r"^\S.*(?:\n[ \t]+\S.*)*\n?", lock.read_text(encoding="utf-8"), re.MULTILINE):
        if not block.startswith(("#", "-")):
            name = canonicalize_name(Requirement(block.split("\\")[0].strip()).name)
            found[name] = found.get(name, "") + block.rstrip("\n") + "\n"
    return found


def project() -> dict[str, object]:
    """`[project]` of pyproject.toml."""
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def shipped() -> list[Package]:
    """All that an installation without extras brings along, by name. Raises NotInstalled."""
    return closure(_wanted())


def direct() -> set[str]:
    """The packages that the project itself asks for, on this platform."""
    return {canonicalize_name(one.name) for one in _wanted()}


def _wanted() -> list[Requirement]:
    said = project()["dependencies"]
    assert isinstance(said, list)
    wanted = [Requirement(text) for text in said]
    return [one for one in wanted if one.marker is None or one.marker.evaluate()]


def models() -> list[Package]:
    """The wheels of the small models, which are installed without what they ask for."""
    return [Package(name, _distribution(name).version, ()) for name in sorted(blocks(MODELS_LOCK))]


def closure(roots: Iterable[Requirement]) -> list[Package]:
    """The roots and all that they need on this platform."""
    extras: dict[str, set[str]] = {}
    waiting = list(roots)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in extras and requirement.extras <= extras[name]:
            continue
        extras.setdefault(name, set()).update(requirement.extras)
        waiting += _needs(name, extras[name])
    return [_package(name, extras[name]) for name in sorted(extras)]


def _needs(name: str, extras: Iterable[str]) -> list[Requirement]:
    said = _said(name)
    asked = ["", *sorted(extras)]
    return [one for one in said if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in asked)]


@functools.cache
def _said(name: str) -> tuple[Requirement, ...]:
    return tuple(Requirement(text) for text in _distribution(name).requires or ())


def _package(name: str, extras: Iterable[str]) -> Package:
    needs = sorted({canonicalize_name(one.name) for one in _needs(name, extras)})
    return Package(name, _distribution(name).version, tuple(needs))


@functools.cache
def _distribution(name: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise NotInstalled(f"{name} is not installed here; run `make setup`.") from None


if __name__ == "__main__":
    lines = blocks(LOCK)
    sys.stdout.write("".join(lines[package.name] for package in shipped()))
