#!/usr/bin/env bash
# Builds toxiproxy, a proxy that spoils connections on demand, into the user's cache; Go's module proxy has its source.
# Optional: without Go or a network the tests that need it are skipped, and say so.
set -euo pipefail

version=v2.12.0
target=${GENAI_CACHE_DIR:-$HOME/.cache/genai-spine}/toxiproxy-$version
if [ -x "$target/server" ]; then exit 0; fi
command -v go >/dev/null || { printf 'toxiproxy: Go is not installed; see https://go.dev/doc/install, or leave it.\n' >&2; exit 1; }
mkdir -p "$target"
GOBIN=$target GOFLAGS=-buildvcs=false go install "github.com/Shopify/toxiproxy/v2/cmd/server@$version"
