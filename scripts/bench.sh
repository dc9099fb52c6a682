#!/usr/bin/env bash
# The figures, through the real server and its API, beside the floor of the same disk. Results go to bench/results.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/house.sh"

need_toolchain || exit 1
if [ ! -x bench/run.sh ]; then
    say "bench/run.sh is missing: this tree has no benchmarks"
    exit 1
fi
cargo build --locked --quiet --release --package tutti </dev/null
export PATH="$CARGO_TARGET_DIR/release:$PATH"
exec bench/run.sh "$@"
