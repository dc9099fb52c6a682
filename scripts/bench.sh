#!/usr/bin/env bash
# The figures, through the real server and its API, beside the floor of the same disk: a table on standard output, JSON in bench/results.
# Arguments go to the program: `scripts/bench.sh --only rounds --rounds 7`, `--help` for all.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/house.sh"

need_toolchain || exit 1
cargo build --locked --quiet --release --package tutti --package bench </dev/null
mkdir -p "${TUTTI_BENCH_DATA:=$cache/bench}"
exec "$CARGO_TARGET_DIR/release/bench" --tutti "$CARGO_TARGET_DIR/release/tutti" --data "$TUTTI_BENCH_DATA" "$@"
