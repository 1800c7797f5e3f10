"""How this program is let in to Kafka: SASL, TLS and client certificates, made once from the settings for every client.

`Brokers` carries it wherever the address goes, so that no function on the way needs to know of it; whoever makes a client
asks here for what that kind of client wants: `client` (aiokafka), `credentials` (Faust), `java_properties` (Kafka's tools).

SpineError
├── Misconfigured   the settings do not fit together, or name a file that cannot be used
└── NotLetIn        a broker is there and lets nobody in with these settings
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr

from streams.broker.config import escaped
from streams.errors import SpineError
from streams.settings import Settings

_ASK_S = 5.0


class Misconfigured(SpineError):
    """The settings for Kafka's door do not fit together, or name a file that cannot be used."""

    exit_code = 2


class NotLetIn(SpineError):
    """A broker is there, but lets nobody in with these settings; the message names the one to mend."""


@dataclass(frozen=True)
class Security:
    """What a client shows and what it trusts. The default is a broker that asks for nothing."""

    protocol: str = "PLAINTEXT"
    mechanism: str = "PLAIN"
    username: str = ""
    password: SecretStr | None = None
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    key_password: SecretStr | None = None

    @property
    def tls(self) -> bool:
        return self.protocol in {"SSL", "SASL_SSL"}

    @property
    def sasl(self) -> bool:
        return self.protocol in {"SASL_PLAINTEXT", "SASL_SSL"}

    @property
    def shown(self) -> str:
        """For people: who comes in, and how."""
        who = f" as {self.username} ({self.mechanism})" if self.sasl else ""
        return f"{self.protocol}{who}"

    def context(self) -> ssl.SSLContext | None:
        """Read from the files anew each time, so that a renewed certificate is taken up by the next client."""
        if not self.tls:
            return None
        made = ssl.create_default_context(cafile=self.ca_file or None)
        if self.cert_file:
            # without a callback OpenSSL would ask the terminal for the key's password
            made.load_cert_chain(self.cert_file, self.key_file or None, password=lambda: _secret(self.key_password))
        return made


class Brokers(str):
    """`host:port`, or several with commas between, and how one is let in there. A plain string asks for nothing."""

    __slots__ = ("security",)
    security: Security

    def __new__(cls, addresses: str, security: Security) -> Self:
        made = super().__new__(cls, addresses)
        made.security = security
        return made


def brokers(settings: Settings, addresses: str) -> Brokers:
    """These addresses with the settings' security; the embedded broker asks for nothing. Raises Misconfigured."""
    return Brokers(addresses, of(settings))


def of(settings: Settings) -> Security:
    """Checked, down to the files. Raises Misconfigured."""
    made = Security(
        settings.kafka_security_protocol,
        settings.kafka_sasl_mechanism,
        settings.kafka_username,
        settings.kafka_password,
        settings.kafka_ca_file,
        settings.kafka_cert_file,
        settings.kafka_key_file,
        settings.kafka_key_password,
    )
    wrong = next(_wrong(made, settings.kafka_brokers), None)
    if wrong is not None:
        raise Misconfigured(wrong)
    return made


def _wrong(made: Security, named: str) -> Iterator[str]:
    """Sentences, the first cause first. What would be silently left unused is wrong too: somebody relies on it."""
    said = f"GENAI_KAFKA_SECURITY_PROTOCOL={made.protocol}"
    if made.protocol != "PLAINTEXT" and not named:
        yield f"{said} is for a Kafka of yours: name it in GENAI_KAFKA_BROKERS, or unset it to use the embedded one."
    if made.sasl and not (made.username and _secret(made.password)):
        yield f"{said} asks for a user: set GENAI_KAFKA_USERNAME and GENAI_KAFKA_PASSWORD."
    if not made.sasl and (made.username or _secret(made.password)):
        yield (
            f"{said} sends no user, but GENAI_KAFKA_USERNAME or GENAI_KAFKA_PASSWORD is set: choose SASL_SSL (or "
            "SASL_PLAINTEXT), or unset them."
        )
    files = {"CA": made.ca_file, "CERT": made.cert_file, "KEY": made.key_file}
    if not made.tls and any(files.values()):
        names = " and ".join(f"GENAI_KAFKA_{name}_FILE" for name, path in files.items() if path)
        yield f"{said} encrypts nothing, but {names} is set: choose SASL_SSL or SSL, or unset it."
    if made.key_file and not made.cert_file:
        yield "GENAI_KAFKA_KEY_FILE is set without its certificate: name that in GENAI_KAFKA_CERT_FILE."
    yield from filter(None, (_unreadable(f"GENAI_KAFKA_{name}_FILE", path) for name, path in files.items()))
    yield from _not_loadable(made)


def _unreadable(setting: str, path: str) -> str:
    if not path:
        return ""
    try:
        Path(path).read_bytes()
    except OSError as error:
        return (
            f"{setting} names {path}, which cannot be read ({error.strerror}). Name a PEM file that this user may read."
        )
    return ""


def _not_loadable(made: Security) -> Iterator[str]:
    try:
        ssl.create_default_context(cafile=made.ca_file or None) if made.tls else None
    except (ssl.SSLError, OSError):
        yield f"GENAI_KAFKA_CA_FILE names {made.ca_file}, which holds no certificate. Name a PEM file with the authority's."
        return
    try:
        made.context()
    except (ssl.SSLError, OSError, ValueError) as error:
        why = getattr(error, "reason", None) or type(error).__name__
        yield (
            f"The client certificate {made.cert_file} and its key do not load ({why}). Name a PEM certificate in "
            "GENAI_KAFKA_CERT_FILE, its own key in GENAI_KAFKA_KEY_FILE, and the key's password, if it has one, in "
            "GENAI_KAFKA_KEY_PASSWORD."
        )


def _secret(value: SecretStr | None) -> str:
    return value.get_secret_value() if value is not None else ""


def security_of(bootstrap: str) -> Security:
    """What the address carries; a plain string carries nothing."""
    return bootstrap.security if isinstance(bootstrap, Brokers) else Security()


def client(bootstrap: str) -> dict[str, Any]:
    """The arguments that every aiokafka client is made with, the address among them."""
    return {"bootstrap_servers": str(bootstrap), **_arguments(security_of(bootstrap))}


def _arguments(security: Security) -> dict[str, Any]:
    made: dict[str, Any] = {"security_protocol": security.protocol}
    if security.tls:
        made["ssl_context"] = security.context()
    if security.sasl:
        made["sasl_mechanism"] = security.mechanism
        made["sasl_plain_username"] = security.username
        made["sasl_plain_password"] = _secret(security.password)
    return made


def credentials(bootstrap: str) -> Any:
    """The same for Faust's app; None: nothing is asked for."""
    from faust.auth import SASLCredentials, SSLCredentials

    security = security_of(bootstrap)
    if security.sasl:
        return SASLCredentials(
            username=security.username,
            password=_secret(security.password),
            ssl_context=security.context(),
            mechanism=security.mechanism,
        )
    return SSLCredentials(security.context()) if security.tls else None


# Kafka's own tools


_LOGIN = {"PLAIN": "plain.PlainLoginModule"}
_SCRAM_LOGIN = "scram.ScramLoginModule"
_LOCKED = "BEGIN ENCRYPTED PRIVATE KEY"
_PKCS8 = ("BEGIN PRIVATE KEY", _LOCKED)


def java_properties(security: Security) -> str:
    """A client's properties file. Holds the password and the key: whoever writes it sees to its mode. Raises Misconfigured."""
    table = {"security.protocol": security.protocol}
    if security.sasl:
        module = _LOGIN.get(security.mechanism, _SCRAM_LOGIN)
        table["sasl.mechanism"] = security.mechanism
        table["sasl.jaas.config"] = (
            f"org.apache.kafka.common.security.{module} required "
            f"username={_quoted(security.username)} password={_quoted(_secret(security.password))};"
        )
    if security.ca_file:
        table |= {"ssl.truststore.type": "PEM", "ssl.truststore.certificates": Path(security.ca_file).read_text()}
    if security.cert_file:
        key = _key(security.key_file or security.cert_file)
        table |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": Path(security.cert_file).read_text(),
            "ssl.keystore.key": key,
        }
        if _LOCKED in key:  # a password for a key that has none is refused there
            table["ssl.key.password"] = _secret(security.key_password)
    return "".join(f"{key}={escaped(value)}\n" for key, value in table.items())


def _key(path: str) -> str:
    text = Path(path).read_text()
    if not any(kind in text for kind in _PKCS8):
        raise Misconfigured(
            f"Kafka's tools read keys in PKCS#8 only, and {path} is none. Convert it with "
            "`openssl pkcs8 -topk8 -nocrypt -in KEY -out NEW`, and name the new file in GENAI_KAFKA_KEY_FILE."
        )
    return text


def _quoted(value: str) -> str:
    """As Java's login configuration reads strings."""
    inner = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{inner}"'


# what keeps us out


async def refusal(bootstrap: str) -> NotLetIn | None:
    """Why nobody is let in where somebody listens; None when nobody does, or when all is well.

    Asked with a connection of our own, since aiokafka's clients only say that they could not connect.
    """
    from aiokafka.conn import create_conn

    arguments = _arguments(security_of(bootstrap))
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            found = await create_conn(host.strip("[]"), int(port), request_timeout_ms=int(_ASK_S * 1000), **arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is only told
            words = _words(security_of(bootstrap), error)
        else:
            words = await _asked(found, security_of(bootstrap))
        if words:
            return NotLetIn(f"Kafka at {address.strip()} does not let this program in: {words}")
    return None


async def _asked(connection: Any, security: Security) -> str:
    """A listener that wants a user answers the first question, and hangs up at the second."""
    from aiokafka.errors import KafkaError
    from aiokafka.protocol.metadata import MetadataRequest

    try:
        await connection.send(MetadataRequest([]))
    except (KafkaError, OSError, TimeoutError):
        return "" if security.sasl else _HANGS_UP.format(protocol=security.protocol)
    finally:
        connection.close()
    return ""


_HANGS_UP = (
    "it hangs up on {protocol}. If it wants TLS, a user or a client certificate, say so in GENAI_KAFKA_SECURITY_PROTOCOL "
    "and the settings beside it."
)
_UNKNOWN_USER = (
    "it does not know {username} with this password ({mechanism}). Mend GENAI_KAFKA_USERNAME and GENAI_KAFKA_PASSWORD, or "
    "GENAI_KAFKA_SASL_MECHANISM."
)
_REASONS = {
    "SSLCertVerificationError": "its certificate does not pass ({detail}). Name the authority that signed it in "
    "GENAI_KAFKA_CA_FILE, and the broker in GENAI_KAFKA_BROKERS by the name that it was made for.",
    "SSLError": "TLS fails ({detail}). See GENAI_KAFKA_SECURITY_PROTOCOL, and GENAI_KAFKA_CERT_FILE if it wants a certificate.",
    "SaslAuthenticationFailed": _UNKNOWN_USER,
    "AuthenticationFailedError": _UNKNOWN_USER,
    "UnsupportedSaslMechanismError": "it does not take {mechanism}. Set GENAI_KAFKA_SASL_MECHANISM to one that it does.",
    "IllegalSaslStateError": "it asks for no user. Set GENAI_KAFKA_SECURITY_PROTOCOL to {without}.",
    "KafkaConnectionError": _HANGS_UP,
    "ConnectionResetError": _HANGS_UP,
}
"""By the name of the error's class or of one above it, so that aiokafka is not imported for it."""


def _words(security: Security, error: Exception) -> str:
    """Empty: nobody listens there."""
    found = next((_REASONS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _REASONS), "")
    return found.format(
        protocol=security.protocol,
        mechanism=security.mechanism,
        username=security.username,
        without="SSL" if security.tls else "PLAINTEXT",
        detail=getattr(error, "verify_message", None) or getattr(error, "reason", None) or type(error).__name__,
    )
