"""The compose files, without a Docker engine: the official schema, and everything they name is there."""

import importlib.resources
import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from providers import PROVIDERS
from providers.config import Config
from store.database import parse_url
from streams import serving
from streams import worker_parts as wiring
from streams.broker import jars
from streams.settings import Settings
from streams.web.app import make_api, make_small
from streams.web.auth import check_host
from streams.web.front import Front
from streams.where import ledger_url
from tests.deploy.files import COMPOSE, COMPOSE_DEV, FILLED, ROOT, commands, compose, settings_named, variables
from tests.parts.kafka import make_settings

pytestmark = pytest.mark.fast

BOTH = pytest.mark.parametrize("path", [COMPOSE, COMPOSE_DEV], ids=lambda path: path.name)
OURS = ("worker", "web")


def seconds(text: str) -> float:
    parts = re.findall(r"(\d+)(h|m|s)", text)
    return float(sum(int(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in parts))


def settings_of(service: dict[str, Any]) -> Settings:
    return make_settings(**settings_named(service["environment"]))


@BOTH
def test_it_fits_the_official_schema(path: Path) -> None:
    schema = importlib.resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    validator = jsonschema_rs.validator_for(json.loads(schema.read_text(encoding="utf-8")))
    assert [f"{list(error.instance_path)}: {error.message}" for error in validator.iter_errors(compose(path))] == []


@BOTH
@pytest.mark.parametrize("name", OURS)
def test_the_environment_of_our_processes_is_accepted(path: Path, name: str) -> None:
    service = compose(path)["services"][name]
    settings = settings_of(service)
    assert settings.default_provider in PROVIDERS
    check_host(settings.api_host, "GENAI_API_HOST", settings)
    check_host(settings.worker_host, "GENAI_WORKER_HOST", settings)
    url = parse_url(ledger_url(settings))
    assert (url.get_backend_name(), url.host, url.database) == ("postgresql", "postgres", "genai")


@BOTH
def test_our_commands_exist(path: Path) -> None:
    services = compose(path)["services"]
    assert {name: services[name]["command"] for name in OURS} == {name: [name] for name in OURS}
    assert set(OURS) <= commands()


@BOTH
@pytest.mark.parametrize(("name", "port"), [("worker", "worker_port"), ("web", "api_port")])
def test_ports_and_health_checks_are_those_of_the_settings(path: Path, name: str, port: str) -> None:
    service = compose(path)["services"][name]
    inside = {str(each).rpartition(":")[2] for each in [*service.get("ports", []), *service.get("expose", [])]}
    usual = Settings.model_fields[port].default
    assert (inside, getattr(settings_of(service), port)) == ({str(usual)}, usual)
    front = Front(make_settings(), name)
    routes = {route.path for route in (make_api(front) if name == "web" else make_small(front)).routes}  # type: ignore[attr-defined]
    *_, script, asked = service["healthcheck"]["test"]
    assert asked in routes
    assert f"COPY deploy/healthcheck.py {script}" in (ROOT / "Dockerfile").read_text(encoding="utf-8")


@BOTH
def test_what_is_depended_on_is_there_and_can_be_healthy(path: Path) -> None:
    services = compose(path)["services"]
    wanted = [
        (name, on, how["condition"])
        for name, each in services.items()
        for on, how in each.get("depends_on", {}).items()
    ]
    bad = [
        (name, on)
        for name, on, how in wanted
        if on not in services or (how == "service_healthy" and "healthcheck" not in services[on])
    ]
    assert (bad, bool(wanted)) == ([], True)


@BOTH
def test_volumes_are_declared_and_folders_exist(path: Path) -> None:
    found = compose(path)
    mounts = [each.split(":")[0] for service in found["services"].values() for each in service.get("volumes", [])]
    assert {each for each in mounts if not each.startswith(".")} == set(found["volumes"])
    assert [each for each in mounts if each.startswith(".") and not (ROOT / each).is_dir()] == []


@BOTH
def test_ports_are_open_on_this_machine_alone(path: Path) -> None:
    services = compose(path)["services"].values()
    published = [port for service in services for port in service.get("ports", [])]
    assert (bool(published), [port for port in published if not port.startswith("127.0.0.1:")]) == (True, [])


@BOTH
def test_a_process_is_given_longer_to_end_than_it_takes(path: Path) -> None:
    services = compose(path)["services"]
    for name in OURS:
        longest = settings_of(services[name]).drain_s + wiring._FAUST_STOP_S + serving._LAST_S
        assert seconds(services[name]["stop_grace_period"]) >= longest + 15


@BOTH
def test_no_secret_is_written_down(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    written = re.findall(r"^\s+(\w*(?:PASSWORD|SECRET|TOKEN|API_KEY)): (?!\$\{|\"\"$)(.+)$", text, re.MULTILINE)
    assert written == []
    if path == COMPOSE:
        assert {name for name, how in variables(path).items() if "?" in how} == set(FILLED)


@BOTH
def test_our_processes_are_not_given_what_others_need(path: Path) -> None:
    services = compose(path)["services"]
    others = {name for name in variables(COMPOSE) if name.endswith("PASSWORD")}
    assert {name for each in OURS for name in others if services[each]["environment"].get(name) != ""} == set()


def test_every_service_restarts_is_bounded_and_pinned() -> None:
    for name, service in compose(COMPOSE)["services"].items():
        assert service["restart"] in {"unless-stopped", "on-failure:5"}, name
        if service["restart"] == "unless-stopped":
            assert {"healthcheck", "stop_grace_period"} <= set(service), name
            assert service["deploy"]["resources"], name
        if name not in OURS:
            assert re.search(r":v?\d+\.\d+", service["image"]), name


def test_the_models_that_are_pulled_are_those_that_are_asked_for() -> None:
    pulled = compose(COMPOSE)["services"]["ollama-pull"]["environment"]
    usual = Config()
    assert (pulled["CHAT_MODEL"], pulled["EMBED_MODEL"]) == (usual.ollama_chat_model, usual.ollama_embed_model)


def test_ollama_has_as_many_places_as_we_have_slots() -> None:
    services = compose(COMPOSE, {**FILLED, "GENAI_OLLAMA_SLOTS": "7"})["services"]
    assert (settings_of(services["worker"]).ollama_slots, services["ollama"]["environment"]["OLLAMA_NUM_PARALLEL"]) == (
        7,
        7,
    )


def test_ollama_gets_the_gpu_and_nobody_does_in_development() -> None:
    devices = compose(COMPOSE)["services"]["ollama"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
    assert "devices" not in json.dumps(compose(COMPOSE_DEV))


def test_development_has_the_same_kafka() -> None:
    there, here = (compose(path)["services"]["kafka"] for path in (COMPOSE, COMPOSE_DEV))
    assert {name: here[name] for name in ("image", "environment", "healthcheck", "volumes")} == {
        name: there[name] for name in ("image", "environment", "healthcheck", "volumes")
    }


@BOTH
def test_kafka_is_the_one_that_is_tested_and_is_found_where_it_listens(path: Path) -> None:
    services = compose(path)["services"]
    kafka = services["kafka"]
    assert kafka["image"] == f"apache/kafka:{jars.VERSION}"
    advertised = dict(each.split("://") for each in kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert advertised == {"INTERNAL": settings_of(services["worker"]).kafka_brokers, "HOST": "localhost:9092"}
    assert settings_of(services["worker"]).kafka_brokers in kafka["healthcheck"]["test"]
