"""The settings of Kafka's door: what is refused, and what each kind of client is given."""

import ast
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from streams import security
from streams.broker import console
from streams.security import Brokers, Misconfigured, Security
from tests.parts.kafka import make_settings
from tests.parts.secured import KEY_PASSWORD, PASSWORD, USER, certificates

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[2]
LOGIN = {"kafka_username": USER, "kafka_password": PASSWORD}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("certificates")
    certificates(made)
    (made / "nonsense.pem").write_text("nothing of the kind\n")
    return made


@pytest.mark.parametrize(
    ("given", "says"),
    [
        # no user, or half of one
        ({"kafka_security_protocol": "SASL_SSL"}, "set GENAI_KAFKA_USERNAME and GENAI_KAFKA_PASSWORD"),
        ({"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_username": USER}, "GENAI_KAFKA_PASSWORD"),
        # a user or a file that would silently not be used
        (LOGIN, "PLAINTEXT sends no user"),
        ({"kafka_security_protocol": "SSL", **LOGIN}, "SSL sends no user"),
        ({"kafka_ca_file": "ca.pem"}, "encrypts nothing, but GENAI_KAFKA_CA_FILE is set"),
        ({"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_cert_file": "client.pem", **LOGIN}, "_CERT_FILE is set"),
        # files that are not there, or not what they should be
        (
            {"kafka_security_protocol": "SSL", "kafka_ca_file": "gone.pem"},
            "gone.pem, which cannot be read (No such file",
        ),
        ({"kafka_security_protocol": "SSL", "kafka_ca_file": "nonsense.pem"}, "holds no certificate"),
        ({"kafka_security_protocol": "SSL", "kafka_key_file": "client.key"}, "without its certificate"),
        ({"kafka_security_protocol": "SSL", "kafka_cert_file": "client.pem"}, "do not load"),
        # a locked key: no password, then a wrong one
        (
            {"kafka_security_protocol": "SSL", "kafka_cert_file": "client.pem", "kafka_key_file": "client.key"},
            "GENAI_KAFKA_KEY_PASSWORD",
        ),
        (
            {
                "kafka_security_protocol": "SSL",
                "kafka_cert_file": "client.pem",
                "kafka_key_file": "client.key",
                "kafka_key_password": PASSWORD,
            },
            "GENAI_KAFKA_KEY_PASSWORD",
        ),
        # the embedded broker asks for nothing
        ({"kafka_brokers": "", "kafka_security_protocol": "SSL"}, "name it in GENAI_KAFKA_BROKERS"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence_without_the_password(
    files: Path, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(Misconfigured) as refused:
        security.of(in_folder(files, given))
    said = str(refused.value)
    assert (says in said, PASSWORD in said) == (True, False)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, "PLAINTEXT"),
        ({"kafka_brokers": ""}, "PLAINTEXT"),
        ({"kafka_security_protocol": "ssl"}, "SSL"),
        ({"kafka_security_protocol": "SSL", "kafka_ca_file": "ca.pem"}, "SSL"),
        ({"kafka_security_protocol": "SASL_SSL", **LOGIN}, "SASL_SSL as ada (PLAIN)"),
        (
            {"kafka_security_protocol": "sasl_plaintext", "kafka_sasl_mechanism": "scram-sha-256", **LOGIN},
            "SASL_PLAINTEXT as ada (SCRAM-SHA-256)",
        ),
        (
            {
                "kafka_security_protocol": "SSL",
                "kafka_cert_file": "client.pem",
                "kafka_key_file": "client.key",
                "kafka_key_password": KEY_PASSWORD,
            },
            "SSL",
        ),
    ],
)
def test_what_fits_is_taken(files: Path, given: dict[str, Any], shown: str) -> None:
    assert security.of(in_folder(files, given)).shown == shown


@pytest.mark.parametrize("given", [{"kafka_security_protocol": "TLS"}, {"kafka_sasl_mechanism": "GSSAPI"}])
def test_an_unknown_protocol_or_mechanism_is_a_wrong_setting(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="Input should be"):
        make_settings(**given)


def in_folder(files: Path, given: dict[str, Any]) -> Any:
    whole = {"kafka_brokers": "b:1"} | given
    return make_settings(**{k: str(files / v) if k.endswith("_file") else v for k, v in whole.items()})


def test_an_aiokafka_client_gets_all_of_it(files: Path) -> None:
    found = security.client(Brokers("b:1,c:2", Security("SASL_SSL", "PLAIN", USER, SecretStr(PASSWORD))))
    context = found.pop("ssl_context")
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert found == {
        "bootstrap_servers": "b:1,c:2",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": USER,
        "sasl_plain_password": PASSWORD,
    }


def test_a_plain_address_asks_for_nothing() -> None:
    assert security.client("b:1") == {"bootstrap_servers": "b:1", "security_protocol": "PLAINTEXT"}
    assert security.credentials("b:1") is None


def test_no_password_is_shown_by_any_of_the_values(files: Path) -> None:
    given = {
        "kafka_security_protocol": "SASL_SSL",
        "kafka_cert_file": "client.pem",
        "kafka_key_file": "client.key",
        "kafka_key_password": KEY_PASSWORD,
        **LOGIN,
    }
    settings = in_folder(files, given)
    where = security.brokers(settings, "b:1")
    shown = f"{settings!r} {settings} {where!r} {where} {where.security!r} {security.credentials(where)!r}"
    assert (PASSWORD in shown, KEY_PASSWORD in shown, USER in shown) == (False, False, True)


def test_kafkas_tools_get_a_file_that_only_this_user_reads(files: Path, tmp_path: Path) -> None:
    settings = make_settings(
        data_dir=tmp_path,
        kafka_brokers="b:1",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="PLAIN",
        **LOGIN,
    )
    line = console.command(settings, "topics", ["--list"])
    file = tmp_path / "kafka-client.properties"
    assert line[-5:] == ["--command-config", str(file), "--bootstrap-server", "b:1", "--list"]
    assert [part for part in line if PASSWORD in part] == []
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().splitlines() == [
        "security.protocol=SASL_SSL",
        "sasl.mechanism=PLAIN",
        "sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "
        'username="ada" password="sesame \\\\"41\\\\" \\\\\\\\ \\u00fc";',
    ]


@pytest.mark.parametrize(
    "given", [["--bootstrap-server", "other:1", "--list"], ["--help"], ["--list", "--command-config=mine"]]
)
def test_the_password_goes_to_our_own_address_and_only_when_nothing_else_is_given(
    tmp_path: Path, given: list[str]
) -> None:
    settings = make_settings(data_dir=tmp_path, kafka_brokers="b:1", kafka_security_protocol="SASL_SSL", **LOGIN)
    assert str(tmp_path) not in " ".join(console.command(settings, "topics", given)[-6:])


def test_a_key_that_kafkas_tools_cannot_read_is_told(files: Path) -> None:
    with pytest.raises(Misconfigured, match=r"openssl pkcs8 -topk8"):
        security.java_properties(Security("SSL", cert_file=str(files / "client.pem"), key_file=str(files / "open.key")))


def clients() -> Iterator[tuple[str, ast.Call]]:
    """Every call that makes a Kafka client, in the rooms."""
    for path in sorted((ROOT / "streams").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2].startswith("AIOKafka"):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_kafka_client_is_made_with_the_security() -> None:
    found = dict(clients())
    without = [
        place
        for place, call in found.items()
        if not any(k.arg is None and ast.unparse(k.value).startswith("security.client(") for k in call.keywords)
    ]
    assert (without, len(found) >= 6) == ([], True)
