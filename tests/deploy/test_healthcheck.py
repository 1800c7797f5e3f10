"""The image's health check against a server that answers, one that is not ready, and none."""

import importlib.util
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import ModuleType

import pytest

from streams.settings import Settings
from tests.deploy.files import DEPLOY

pytestmark = pytest.mark.fast


@pytest.fixture(scope="module")
def healthcheck() -> ModuleType:
    spec = importlib.util.spec_from_file_location("healthcheck", DEPLOY / "healthcheck.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def port() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response({"/health": 200, "/ready": 503}.get(self.path, 404))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield str(server.server_port)
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_knows_the_usual_ports(healthcheck: ModuleType) -> None:
    usual = {f"GENAI_{name.upper()}": str(Settings.model_fields[name].default) for name in ("api_port", "worker_port")}
    assert usual == healthcheck.PORTS


@pytest.mark.parametrize("setting", ["GENAI_API_PORT", "GENAI_WORKER_PORT"])
def test_one_port_that_answers_is_enough(
    setting: str, port: str, healthcheck: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"GENAI_API_PORT": "GENAI_WORKER_PORT", "GENAI_WORKER_PORT": "GENAI_API_PORT"}[setting]
    monkeypatch.setenv(setting, port)
    monkeypatch.setenv(other, "1")
    assert {path: healthcheck.main(path) for path in ("/health", "/ready", "/nothing")} == {
        "/health": 0,
        "/ready": 1,
        "/nothing": 1,
    }


def test_nobody_there_is_a_no(healthcheck: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_API_PORT", "1")
    monkeypatch.setenv("GENAI_WORKER_PORT", "not a port")
    assert healthcheck.main("/health") == 1
