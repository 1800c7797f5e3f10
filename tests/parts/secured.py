"""A packaged broker with every kind of door, and the certificates and users that open them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from streams.broker import config, control, jars, ports, process, storage
from streams.broker.config import HOST, Ports, escaped
from streams.broker.process import Home
from streams.settings import Settings
from tests.parts.kafka import make_settings
from tests.streams.commands import run

USER = "ada"
PASSWORD = 'sesame "41" \\ ü'  # everything that a login configuration and a properties file trip over
KEY_PASSWORD = "key-sesame-97"
_PLUGINS = "org.apache.kafka.common.security"
_DOORS = ("SSL", "SASL_SSL", "SASL_PLAINTEXT")


@dataclass(frozen=True)
class Secured:
    """`doors`: protocol to address; `PLAINTEXT` is the operator's own way in."""

    folder: Path
    doors: dict[str, str]

    def of(self, name: str) -> str:
        return str(self.folder / name)

    def settings(self, protocol: str, data_dir: Path, **changes: Any) -> Settings:
        return make_settings(data_dir=data_dir, partitions=1, **self.fields(protocol, **changes))

    def fields(self, protocol: str, **changes: Any) -> dict[str, Any]:
        """The right ones for that door."""
        made: dict[str, Any] = {"kafka_brokers": self.doors[protocol], "kafka_security_protocol": protocol}
        if protocol.startswith("SASL"):
            made |= {"kafka_username": USER, "kafka_password": PASSWORD, "kafka_sasl_mechanism": "SCRAM-SHA-512"}
        if protocol.endswith("SSL"):
            made |= {"kafka_ca_file": self.of("ca.pem")}
        if protocol == "SSL":
            made |= {
                "kafka_cert_file": self.of("client.pem"),
                "kafka_key_file": self.of("client.key"),
                "kafka_key_password": KEY_PASSWORD,
            }
        return made | changes

    def environment(self, protocol: str, **changes: Any) -> dict[str, str]:
        return {f"GENAI_{name.upper()}": str(value) for name, value in self.fields(protocol, **changes).items()}


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    settings = make_settings(data_dir=folder / "broker", kafka_brokers="")
    home = Home(settings.data())
    home.path.mkdir(parents=True)
    certificates(folder)
    made = Secured(folder, {name: f"{HOST}:{ports._any_free()}" for name in ("PLAINTEXT", *_DOORS)})
    chosen = Ports(int(made.doors["PLAINTEXT"].rpartition(":")[2]), ports._any_free())
    jar_folder = jars.fetch(settings.cache())
    cluster = storage.format_once(home, jar_folder)
    usual = config.server_properties(chosen, Path(home.logs.name), 16 * 1024 * 1024)
    home.properties.write_text(usual + doors(made, chosen))  # of two lines with one name Java takes the last
    found = process.launch(home, jar_folder)
    try:
        control.await_ready(home, found, chosen, cluster, 90)
        for bits in (256, 512):  # one request cannot name a user twice
            make_user(made, f"SCRAM-SHA-{bits}=[password={PASSWORD}]")
        yield made
    finally:
        control.stop(settings, timeout_s=5)


def make_user(made: Secured, key: str) -> None:
    """By the packaged tool, over the operator's own door."""
    line = ("--alter", "--entity-type", "users", "--entity-name", USER, "--add-config", key)
    found = run(made.folder / "tool", "kafka", "configs", *line, GENAI_KAFKA_BROKERS=made.doors["PLAINTEXT"])
    assert found.returncode == 0, found.stdout + found.stderr


def doors(made: Secured, chosen: Ports) -> str:
    """Lines for server.properties: TLS with client certificates, and users over TLS and without."""
    listeners = ",".join(f"{name}://{address}" for name, address in made.doors.items())
    plain = "".join(f'{_PLUGINS}.plain.PlainLoginModule required user_{USER}="{_in_quotes(PASSWORD)}";')
    table = {
        "listeners": f"{listeners},CONTROLLER://{HOST}:{chosen.controller}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": ",".join(f"{n}:{n}" for n in made.doors) + ",CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": made.of("server.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": made.of("ca.pem"),
        "listener.name.ssl.ssl.client.auth": "required",
    }
    for door in ("sasl_ssl", "sasl_plaintext"):
        table[f"listener.name.{door}.plain.sasl.jaas.config"] = plain
        for bits in (256, 512):
            name = f"listener.name.{door}.scram-sha-{bits}.sasl.jaas.config"
            table[name] = f"{_PLUGINS}.scram.ScramLoginModule required;"
    return "".join(f"{key}={escaped(value)}\n" for key, value in table.items())


def _in_quotes(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def certificates(folder: Path) -> None:
    """An authority, the broker's certificate for 127.0.0.1 and a client's; and an authority that signed none of them."""
    import trustme

    ours, other = trustme.CA(), trustme.CA()
    server, client = ours.issue_cert(HOST), ours.issue_cert(f"{USER}@example.org")
    ours.cert_pem.write_to_path(str(folder / "ca.pem"))
    other.cert_pem.write_to_path(str(folder / "other.pem"))
    chain = b"".join(part.bytes() for part in server.cert_chain_pems)
    (folder / "server.pem").write_bytes(_pkcs8(server.private_key_pem.bytes()) + chain)
    (folder / "client.pem").write_bytes(b"".join(part.bytes() for part in client.cert_chain_pems))
    (folder / "client.key").write_bytes(_pkcs8(client.private_key_pem.bytes(), KEY_PASSWORD))
    (folder / "open.key").write_bytes(client.private_key_pem.bytes())


def _pkcs8(pem: bytes, password: str = "") -> bytes:
    from cryptography.hazmat.primitives import serialization as s

    locked = s.BestAvailableEncryption(password.encode()) if password else s.NoEncryption()
    key = s.load_pem_private_key(pem, None)
    return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, locked)
