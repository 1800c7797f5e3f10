"""The licences page and the SBOM say what is shipped."""

import importlib.resources
import json
from pathlib import Path

import jsonschema_rs
import pytest
from packaging.requirements import Requirement

from scripts import licences, sbom, shipped
from streams.broker import jars

pytestmark = pytest.mark.fast


def test_the_page_is_what_the_metadata_say() -> None:
    assert licences.page() == licences.PAGE.read_text(encoding="utf-8"), "run `python -m scripts.licences`"


def test_a_licence_that_nobody_can_tell_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(licences.READ, "jinja2")
    with pytest.raises(LookupError, match=r"The licence of jinja2 is not clear \(\['BSD License'\]\)"):
        licences.licence("jinja2")


def test_only_what_metadata_leave_open_is_written_by_hand() -> None:
    names = {package.name for package in [*shipped.shipped(), *shipped.models()]}
    assert set(licences.READ) <= names


def test_a_package_that_is_missing_says_what_to_do() -> None:
    with pytest.raises(shipped.NotInstalled, match="no-such-package is not installed here; run `make setup`"):
        shipped.closure([Requirement("no-such-package")])


def test_an_extra_brings_its_packages() -> None:
    plain, more = (
        {package.name for package in shipped.closure([Requirement(text)])}
        for text in ("sqlalchemy", "sqlalchemy[asyncio]")
    )
    assert ("greenlet" in more, plain < more or plain == more) == (True, True)


def test_what_is_installed_here_is_what_is_locked() -> None:
    lock = shipped.blocks(shipped.LOCK) | shipped.blocks(shipped.MODELS_LOCK)
    packages = [*shipped.shipped(), *shipped.models()]
    assert [package for package in packages if f"=={package.version}" not in lock.get(package.name, "")] == []


def test_the_sbom_fits_the_official_schema() -> None:
    folder = importlib.resources.files("cyclonedx.schema") / "_res"
    parts = {
        name: json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text())
        for name in ("bom-1.6", "spdx", "jsf-0.82")
    }
    registry = jsonschema_rs.Registry(
        [(f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json", parts[name]) for name in ("spdx", "jsf-0.82")]
    )
    validator = jsonschema_rs.validator_for(parts["bom-1.6"], registry=registry)
    assert [f"{list(error.instance_path)}: {error.message}" for error in validator.iter_errors(sbom.document())] == []


def test_the_sbom_holds_every_package_model_and_jar_once_and_what_needs_what() -> None:
    found = sbom.document()
    refs = [each["bom-ref"] for each in found["components"]]
    assert len(refs) == len(set(refs)) == len(shipped.shipped()) + len(shipped.models()) + len(jars.pins())
    needs = {each["ref"]: each["dependsOn"] for each in found["dependencies"]}
    assert {ref for each in needs.values() for ref in each} <= set(refs)
    faust = next(ref for ref in refs if ref.startswith("pkg:pypi/faust-streaming@"))
    assert faust in needs["genai-spine"] and any(ref.startswith("pkg:pypi/mode-streaming@") for ref in needs[faust])


def test_the_same_lock_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        sbom.main(str(tmp_path / "new" / name))
    assert (tmp_path / "new/a").read_bytes() == (tmp_path / "new/b").read_bytes()
