#!/usr/bin/env bash
# The whole-system simulator: sim.sh SEEDS [ARGUMENT…]. A failure prints its seed; the same seed gives the same run.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/house.sh"

need_toolchain || exit 1
seeds="${1:-1000}"
shift || true
exec cargo run --locked --quiet --release --package sim -- --seeds "$seeds" "$@" </dev/null
