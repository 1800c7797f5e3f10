"""What is shipped, as a CycloneDX 1.6 document: `python -m scripts.sbom FILE` (`-`: standard output; `make sbom`).

The same lock gives the same bytes: there is no time in it, and its serial number is made of its content. Packages are required,
the small models optional; Kafka's jars are optional too, each with the hash that the embedded broker checks.
"""

import json
import sys
import uuid
from pathlib import Path
from typing import Any

from scripts import licences, shipped
from streams.broker import jars

_SPACE = uuid.UUID("7f1a3f0e-5d0b-4bb2-9a5e-2b1c5f6f0d51")


def document() -> dict[str, Any]:
    """The whole document."""
    packages, models = shipped.shipped(), shipped.models()
    root = _root()
    body = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": root},
        "components": [
            *(_python(one, "required") for one in packages),
            *(_python(one, "optional") for one in models),
            *(_jar(pin) for pin in jars.pins()),
        ],
        "dependencies": _dependencies(root, packages),
    }
    serial = uuid.uuid5(_SPACE, json.dumps(body, sort_keys=True))
    return {"$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "serialNumber": f"urn:uuid:{serial}", **body}


def _root() -> dict[str, Any]:
    said = shipped.project()
    return {
        "type": "application",
        "bom-ref": "genai-spine",
        "name": "genai-spine",
        "version": said["version"],
        "description": said["description"],
        "licenses": [{"expression": said["license"]}],
        "purl": f"pkg:pypi/genai-spine@{said['version']}",
    }


def _python(package: shipped.Package, scope: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{package.name}@{package.version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "scope": scope,
        "licenses": [{"expression": licences.licence(package.name)}],
        "purl": purl,
    }


def _jar(pin: jars.Pin) -> dict[str, Any]:
    group, artifact, version = pin.coordinate.split(":")
    purl = f"pkg:maven/{group}/{artifact}@{version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "group": group,
        "name": artifact,
        "version": version,
        "scope": "optional",
        "hashes": [{"alg": "SHA-256", "content": pin.sha256}],
        "purl": purl,
    }


def _dependencies(root: dict[str, Any], packages: list[shipped.Package]) -> list[dict[str, Any]]:
    refs = {one.name: f"pkg:pypi/{one.name}@{one.version}" for one in packages}
    needed = {need for one in packages for need in one.needs}
    direct = sorted(refs[name] for name in shipped.direct())
    assert needed <= refs.keys(), "the walk has left something out"
    return [
        {"ref": root["bom-ref"], "dependsOn": direct},
        *({"ref": refs[one.name], "dependsOn": [refs[need] for need in one.needs]} for one in packages),
    ]


def main(target: str) -> None:
    """Write it."""
    told = json.dumps(document(), indent=2) + "\n"
    if target == "-":
        sys.stdout.write(told)
        return
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(told, encoding="utf-8")
    sys.stdout.write(f"Wrote {target}.\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "-")
