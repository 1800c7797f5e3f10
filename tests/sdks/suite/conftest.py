"""Where the spine is. This folder runs in the SDKs' own environment; see `tests/sdks/test_sdks.py`."""

import os

import pytest


@pytest.fixture
def base_url() -> str:
    return os.environ["SPINE_URL"] + "/v1"


@pytest.fixture
def key() -> str:
    return "secret"
