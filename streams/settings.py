"""The one reader of the environment: `GENAI_*`, read once, into a typed value."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.tiers import Tier
from streams import addresses
from streams.compatible import BaseUrl, Servers

_LOOPBACK = re.compile(r"http://(127\.\d+\.\d+\.\d+|localhost|\[::1\])[:/]")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+")


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class PriceEntry(BaseModel):
    """What a model costs: dollars per million tokens, or dollars per GPU-second, or both; as decimal strings."""

    input_per_million: str = "0"
    output_per_million: str = "0"
    cached_per_million: str | None = None
    cache_write_per_million: str | None = None
    per_gpu_second: str = "0"


class LimitEntry(BaseModel):
    """What a model may be asked for, over all processes: requests and tokens a minute, calls at a time."""

    model_config = ConfigDict(extra="forbid")

    rpm: Annotated[int, Field(ge=1)] | None = None
    tpm: Annotated[int, Field(ge=1)] | None = None
    concurrency: Annotated[int, Field(ge=1)] | None = None


class Settings(BaseSettings):
    """Every setting, its default and its meaning; `.env.example` lists the same."""

    model_config = SettingsConfigDict(env_prefix="GENAI_", env_file=".env", extra="ignore", frozen=True)

    # HTTP
    api_host: str = "127.0.0.1"
    api_port: Annotated[int, Field(ge=0, le=65535)] = 8100
    api_key: SecretStr | None = None
    allow_insecure: bool = False
    jwt_jwks: str = ""  # the public keys of an issuer of tokens, by URL or as a file; empty: no tokens are taken
    jwt_issuer: str = ""  # what tokens must name as `iss`
    jwt_audience: str = ""  # what they must name as `aud`
    jwt_algorithms: str = "RS256,ES256"  # comma-separated; none with a shared secret
    jwt_leeway_s: Annotated[int, Field(ge=0, le=600)] = 30  # by which clocks may differ
    jwt_tenant_claim: str = "tenant"
    jwt_scope_claim: str = "scope"
    cors_origins: str = ""  # comma-separated, such as https://app.example.org; "*": every page of the web
    worker_host: str = "127.0.0.1"
    worker_port: Annotated[int, Field(ge=0, le=65535)] = 8101

    # models
    default_provider: str = "ollama"
    default_model: str | None = None  # None: the provider's own (ollama: llama3.2:latest)
    default_embed_model: str | None = None
    moderation_model: str | None = None  # who judges where nobody is named: provider/model, or a route
    default_timeout_s: Annotated[float, Field(gt=0)] = 60.0
    file_max_bytes: Annotated[int, Field(ge=1024)] = 200 * 1024 * 1024  # of a file that is uploaded for a batch
    run_max_bytes: Annotated[int, Field(ge=1024)] = 64 * 1024 * 1024  # of a run as JSON; JSON Lines have no bound
    document_max_bytes: Annotated[int, Field(ge=1)] = 32 * 1024 * 1024  # of a document that is read for a question
    document_max_pages: Annotated[int, Field(ge=1)] = 2_000
    document_max_characters: Annotated[int, Field(ge=1)] = 10_000_000  # of its text
    document_timeout_s: Annotated[float, Field(gt=0)] = 30.0  # how long a PDF or an HTML page may take to be read
    document_memory_mb: Annotated[int, Field(ge=128)] = 1024  # and of how much memory, in a process of its own
    default_tenant: str = "default"
    tenants: dict[str, str] = {}  # topic -> tenant, for producers that cannot write the field
    tenants_bind: bool = False  # whether records of those topics may name no other tenant
    ollama_url: str = "http://127.0.0.1:11434"
    ollama_slots: Annotated[int, Field(ge=1)] = 1  # OLLAMA_NUM_PARALLEL of each node
    ollama_num_ctx: Annotated[int, Field(ge=256)] = 8192
    ollama_keep_alive: str = "30m"
    ollama_loaded: Annotated[int, Field(ge=0)] = 3  # OLLAMA_MAX_LOADED_MODELS of each node; 0: no bound
    ollama_gpu_nodes: str = ""  # those of GENAI_OLLAMA_URL that have a GPU, where they do not say so themselves
    ollama_gather_s: Annotated[float, Field(ge=0)] = 2.0  # how long calls are gathered before a node loads for them
    local_slots: Annotated[int, Field(ge=1)] = 1
    local_threads: Annotated[int, Field(ge=0)] = 0  # 0: cores - 1, at least one
    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: BaseUrl = "https://api.anthropic.com"  # or a server that speaks Anthropic's Messages
    anthropic_slots: Annotated[int, Field(ge=1)] = 16
    bedrock_region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]+$")] | None = None  # None: not set up
    bedrock_base_url: BaseUrl | None = None  # None: AWS's own address in that region
    bedrock_api_key: SecretStr | None = None  # None: the usual chain of AWS credentials
    bedrock_slots: Annotated[int, Field(ge=1)] = 8
    fake_url: str | None = None  # address of `genai-spine fake-provider`; None: in process
    fake_seed: int = 0
    fake_slots: Annotated[int, Field(ge=1)] = 4
    fake_latency_s: Annotated[float, Field(ge=0)] = 0.05
    fake_tail: Annotated[float, Field(ge=0, le=1)] = 0.05  # share of calls that take ten times as long
    fake_failures: Annotated[float, Field(ge=0, le=1)] = 0.0
    fake_paid: bool = True
    openai_api_key: SecretStr | None = None
    openai_base_url: BaseUrl = "https://api.openai.com/v1"
    openai_slots: Annotated[int, Field(ge=1)] = 16
    compatible: Servers = {}  # name -> base_url, api_key or api_key_env, and more; JSON
    prices: dict[str, PriceEntry] = {}  # "provider/model" or "provider/*"; JSON
    prices_version: str = "settings"
    limits: dict[str, LimitEntry] = {}  # "provider/model" or "provider/*"; JSON
    outbound_allow: str = ""  # networks and hosts that may be reached although they are private, link-local or special
    redis_url: SecretStr | None = None  # counts the minutes of keys, instead of the ledger; redis:// or rediss://
    request_id_hosts: str = ""  # hosts and networks of your own that are told our requests' ids, beside loopback
    guards: dict[str, list[str]] = {}  # operation, or "*", to rules such as "pii:mask", "secrets:refuse:both"; JSON
    routes: str = ""  # a YAML file of names for models: targets, weights, fallbacks; read again when it changes
    schedules_file: str = ""  # a YAML file of runs that are submitted by the clock; read again when it changes
    prompts_dir: str = ""  # a folder of prompt files of your own, beside the shipped ones
    pipelines_dir: str = ""  # a folder of pipelines of your own, YAML files, beside the shipped ones
    pipelines_modules: str = ""  # Python modules, comma-separated, with PIPELINES and FUNCTIONS of your own
    prompts_max_bytes: Annotated[int, Field(ge=0)] = (
        32 * 1024 * 1024
    )  # of prompts' versions that a process keeps in memory

    # when it may wait for a lower price
    tier: Tier = "standard"  # of requests whose options and route say none: auto, standard, flex, batch
    batch_gather_s: Annotated[float, Field(ge=0)] = 30.0  # how long a call waits for others to go into one batch
    batch_most: Annotated[int, Field(ge=1)] = 5000  # so many calls go into a batch without waiting
    batch_poll_s: Annotated[float, Field(gt=0)] = 60.0  # between two looks at a batch
    batch_settle_s: Annotated[float, Field(gt=0)] = 300.0  # until a batch that may be there shows up at its provider
    batch_least_s: Annotated[float, Field(ge=0)] = 7200.0  # a nearer deadline allows no batch
    batch_reserve_s: Annotated[float, Field(ge=0)] = 1800.0  # so long before its deadline a call leaves its batch
    flex_least_s: Annotated[float, Field(ge=0)] = 900.0  # a nearer deadline allows no flex tier
    flex_timeout_s: Annotated[float, Field(gt=0)] = 900.0  # so long may a call on the flex tier take

    # the ledger
    database_url: str = ""  # empty: SQLite in the data directory; `embedded`: the packaged PostgreSQL
    data_dir: Path = Path("data")
    cache_dir: Path = Path("~/.cache/genai-spine")  # Kafka's jars; shared by every checkout of this user
    lease_s: Annotated[float, Field(gt=0)] = 10.0
    stall_s: Annotated[float, Field(gt=0)] = 60.0  # no progress for so long ends a serving process, to be started anew
    poll_s: Annotated[float, Field(gt=0)] = 1.0
    max_attempts: Annotated[int, Field(ge=1)] = 8
    retry_base_s: Annotated[float, Field(gt=0)] = 0.5
    retry_cap_s: Annotated[float, Field(gt=0)] = 60.0
    drain_s: Annotated[float, Field(ge=0)] = 30.0
    keep_bodies_days: Annotated[float, Field(ge=0)] = 90.0  # texts and answers, after their end; 0: for ever
    keep_journal_days: Annotated[float, Field(ge=0)] = 400.0  # calls one by one; what a day cost stays; 0: for ever
    keep_positions_days: Annotated[float, Field(ge=0)] = 30.0  # what was decided of each record; 0: for ever
    cache_ttl_s: Annotated[float, Field(ge=0)] = 86_400.0  # how long an answer serves equal requests; 0: no cache
    cache_max_bytes: Annotated[int, Field(ge=0)] = 256 * 1024 * 1024  # of answers that serve; 0: no cache
    cache_tenants: bool = False  # whether one tenant's answer may serve another's equal request

    # what goes first
    aging_normal_s: Annotated[float, Field(gt=0)] = 60.0  # a normal row that waits longer doubles its lane's weight
    aging_batch_s: Annotated[float, Field(gt=0)] = 900.0  # the same for the batch lane
    lend_after_s: Annotated[float, Field(ge=0)] = (
        5.0  # without a realtime row for so long, batch gets the reserved slots
    )
    patience_s: Annotated[float, Field(gt=0)] = 600.0  # a request is due then, unless its deadline is sooner

    # Kafka
    kafka_brokers: str = ""  # empty: the embedded broker
    kafka_port: Annotated[int, Field(ge=0, le=65535)] = 9092  # wished for by the embedded broker
    kafka_group: str = "genai-spine"
    kafka_security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], BeforeValidator(_upper)
    ] = "PLAINTEXT"
    kafka_sasl_mechanism: Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], BeforeValidator(_upper)] = (
        "PLAIN"
    )
    kafka_username: str = ""
    kafka_password: SecretStr | None = None
    kafka_ca_file: str = ""  # empty: the authorities that the system trusts
    kafka_cert_file: str = ""  # a client certificate, with what leads up to its authority
    kafka_key_file: str = ""  # empty: the key is in the certificate's file
    kafka_key_password: SecretStr | None = None
    kafka_session_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    partitions: Annotated[int, Field(ge=1)] = 4
    replication_factor: Annotated[int, Field(ge=1)] = 1
    retention_hours: Annotated[int, Field(ge=1)] = 24 * 7
    dlq_retention_hours: Annotated[int, Field(ge=1)] = 24 * 90
    request_max_bytes: Annotated[int, Field(ge=1024)] = 6 * 1024 * 1024
    result_max_bytes: Annotated[int, Field(ge=1024)] = 8 * 1024 * 1024
    intake_window: Annotated[int, Field(ge=100)] = 4000  # records of one lane between Kafka and the ledger
    ledger_window: Annotated[int, Field(ge=1)] = 20_000  # waiting rows of one lane before its partitions are paused
    http_window: Annotated[int, Field(ge=1)] = 20_000  # waiting rows of one lane before HTTP refuses new ones (429)
    chat_results: bool = False  # whether answers of OpenAI's paths go to genai.results too
    chat_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 600.0  # how long callers of OpenAI's paths wait at most
    progress_topic: bool = False  # how far long calls are, on genai.runs too

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "console", "json"] = "auto"
    redact: str = ""  # email, card, iban, names of fields, /patterns/; masked in logs, views of dead letters, pages

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_not_set(cls, value: Any, info: ValidationInfo) -> Any:
        """`GENAI_API_KEY=` must not pass for a key; nor must other settings that may be left out."""
        return None if value == "" and cls.model_fields[info.field_name or ""].default is None else value

    @field_validator("limits")
    @classmethod
    def _name_models(cls, told: dict[str, LimitEntry]) -> dict[str, LimitEntry]:
        for name in told:
            if "/" not in name:
                raise ValueError(f"{name!r} names no model; write provider/model or provider/*")
        return told

    @field_validator("guards")
    @classmethod
    def _are_guards(cls, told: dict[str, list[str]]) -> dict[str, list[str]]:
        if told:
            from agents import OPERATIONS
            from agents.guards import guarded

            guarded(OPERATIONS, told, lambda *_: None)
        return told

    @field_validator("outbound_allow", "request_id_hosts")
    @classmethod
    def _are_addresses(cls, told: str) -> str:
        if told:
            from providers.outbound import listed  # here, as it takes half a second with its room

            listed(_parts(told))
        return told

    @field_validator("kafka_brokers")
    @classmethod
    def _are_brokers(cls, told: str) -> str:
        return addresses.brokers(told)

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, told: SecretStr | None) -> SecretStr | None:
        return None if told is None else SecretStr(addresses.redis(told.get_secret_value()))

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, told: str) -> str:
        for origin in _parts(told):
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is no origin; write scheme, host and port, such as https://app.example.org"
                )
        return told

    @field_validator("jwt_algorithms")
    @classmethod
    def _have_a_public_key(cls, told: str) -> str:
        known = "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519"
        for name in _parts(told):
            if name not in known.split():
                raise ValueError(f"{name!r} is not taken; choose some of {known}, separated by commas")
        if not _parts(told):
            raise ValueError(f"it is empty; choose some of {known}")
        return told

    @model_validator(mode="after")
    def _trusts_somebody(self) -> "Settings":
        """Any service's token would do without a name of who signed it, and for whom."""
        told = self.jwt_jwks
        if told and not (self.jwt_issuer and self.jwt_audience):
            raise ValueError("GENAI_JWT_JWKS needs GENAI_JWT_ISSUER and GENAI_JWT_AUDIENCE beside it")
        if told.startswith("http://") and not (_LOOPBACK.match(told) or self.allow_insecure):
            raise ValueError(
                "GENAI_JWT_JWKS is plain HTTP, where others may exchange the keys; write https://…, or name a file"
            )
        return self

    @model_validator(mode="after")
    def _leaves_a_batch_some_time(self) -> "Settings":
        if self.batch_reserve_s > self.batch_least_s:
            raise ValueError(
                "GENAI_BATCH_RESERVE_S is above GENAI_BATCH_LEAST_S: a call would leave its batch before it is in it"
            )
        return self

    def origins(self) -> tuple[str, ...]:
        """The origins whose pages may read our answers; none by default."""
        return _parts(self.cors_origins)

    def outbound(self) -> tuple[str, ...]:
        """The networks and hosts that are listed, as they were written."""
        return _parts(self.outbound_allow)

    def told_hosts(self) -> tuple[str, ...]:
        """The networks and hosts that are told our requests' ids, as they were written."""
        return _parts(self.request_id_hosts)

    def ollama_nodes(self) -> tuple[str, ...]:
        """The base URLs, without a trailing slash."""
        return tuple(url.strip().rstrip("/") for url in self.ollama_url.split(",") if url.strip())

    def data(self) -> Path:
        """The absolute data directory; not created here."""
        return self.data_dir.expanduser().resolve()

    def cache(self) -> Path:
        """The absolute cache directory; not created here."""
        return self.cache_dir.expanduser().resolve()


def _parts(told: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in told.split(",") if part.strip())


def load() -> Settings:
    """Read the environment (and `.env` in the working directory, if there is one)."""
    return Settings()
