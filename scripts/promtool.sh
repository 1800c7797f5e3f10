#!/usr/bin/env bash
# Puts promtool beside the other tools in .venv, without root: out of Debian's package `prometheus`, of which nothing else is
# installed. Optional: without it the tests that ask promtool are skipped, and say so.
set -euo pipefail
cd "$(dirname "$0")/.."

target=.venv/bin/promtool
if [ -x "$target" ] || command -v promtool >/dev/null; then exit 0; fi
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
  { printf 'promtool: this is no Debian; install Prometheus yourself, or leave it.\n' >&2; exit 1; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$folder/state/lists/partial" "$folder/cache/archives/partial"
# apt's own lists may be empty, and are root's: these are ours, and thrown away
apt() {
  apt-get -qq -o Dir::State="$folder/state" -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$folder/cache" \
    -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=1 -o Acquire::http::Timeout=15 "$@"
}
cd "$folder"
apt update
apt download prometheus
dpkg-deb --extract prometheus_*.deb out
cd - >/dev/null
install -m 0755 "$folder/out/usr/bin/promtool" "$target"
