#!/usr/bin/env bash
# Every test of the project from one debug build. Stages go on after a failure, so that one run shows all there is to show.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/house.sh"

need_toolchain || exit 1

# What the stories need is fetched while the tests are being compiled.
rig_log="$cache/bank-setup.log"
rig=
if [ -x examples/bank/setup.sh ] && has python3; then
    examples/bank/setup.sh >"$rig_log" 2>&1 </dev/null &
    rig=$!
    trap 'kill "$rig" 2>/dev/null || true' EXIT
fi

# The Flyte SDK too.
flyte_log="$cache/flyte-setup.log"
flyte_rig=
if [ -x python/flyte/setup.sh ] && has python3; then
    python/flyte/setup.sh >"$flyte_log" 2>&1 </dev/null &
    flyte_rig=$!
fi

test_log="$cache/test.log"

build() {
    if has cargo-nextest; then
        cargo nextest run --workspace --locked --no-run
    else
        cargo test --workspace --locked --no-run
    fi
}

run_tests() {
    if has cargo-nextest; then
        cargo nextest run --workspace --locked --no-fail-fast --cargo-quiet 2>&1 </dev/null | tee "$test_log"
    else
        cargo test --workspace --locked --no-fail-fast --quiet 2>&1 </dev/null | tee "$test_log"
    fi
}

# The rig is ready, or the reason why not is shown.
rig_ready() {
    local result=0
    wait "$rig" || result=$?
    rig=
    trap - EXIT
    [ "$result" = 0 ] || { say "the rig of the bank story could not be set up:"; tail -n 20 "$rig_log" >&2; }
    return "$result"
}

bank_tests() {
    (cd examples/bank && "$TUTTI_BANK_VENV/bin/python" -m unittest -q test_bank </dev/null)
}

# The story as a person runs it, on the debug binary, with the server killed on the way.
demo_tests() {
    cargo build --locked --quiet --package tutti </dev/null || return 1
    (cd examples/bank && TUTTI_BIN="$CARGO_TARGET_DIR/debug/tutti" "$TUTTI_BANK_VENV/bin/python" -m unittest -q test_demo </dev/null)
}

flyte_tests() {
    cargo build --locked --quiet --package tutti </dev/null || return 1
    local venv="${TUTTI_FLYTE_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/tutti/flyte-venv}"
    # By name, so that a module that cannot be loaded is a failure.
    (cd python/flyte && TUTTI_BIN="$CARGO_TARGET_DIR/debug/tutti" timeout 2400 "$venv/bin/python" -m unittest -q $(basename -s .py test_*.py) </dev/null)
}

web_tests() {
    scripts/web.sh test
}

web_e2e() {
    cargo build --locked --quiet --package tutti </dev/null || return 1
    scripts/web.sh e2e "$CARGO_TARGET_DIR/debug/tutti"
}

web=
if scripts/web.sh check; then web=yes; fi

stage format cargo fmt --all --check
[ -z "$web" ] || stage web scripts/web.sh build
stage tidy cargo xtask tidy
rm -f "$test_log"
stage build build
if [ "${stage_results[-1]}" = ok ]; then
    stage tests run_tests
    stage clippy cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
else
    skip tests "the build failed"
fi
if [ -n "$web" ]; then
    stage web-unit web_tests
    stage web-e2e web_e2e
else
    skip web "Node.js is missing or too old"
fi
if [ -z "$rig" ]; then
    skip bank "python3 or examples/bank/setup.sh is missing"
elif ! rig_ready; then
    skip bank "its Python packages could not be installed"
elif [ -f examples/bank/test_bank.py ]; then
    stage bank bank_tests
    stage demo demo_tests
fi

# Programs of the unmodified Flyte SDK on the debug binary.
if [ -z "$flyte_rig" ]; then
    skip flyte "python3 or python/flyte/setup.sh is missing"
elif ! wait "$flyte_rig"; then
    tail -n 20 "$flyte_log" >&2
    skip flyte "the Flyte SDK could not be installed"
else
    stage flyte flyte_tests
fi

timings
# The closing lines of the test runner, where a reader looks for them.
if [ -f "$test_log" ]; then
    if ! grep -E '^ +Summary \[' "$test_log" >&2; then
        awk '/^test result:/ { passed += $4; broken += $6 } END { printf "%d tests passed, %d failed\n", passed, broken }' "$test_log" >&2
    fi
fi
[ "$failed" = 0 ] && say "make test: ok" || say "make test: FAILED"
exit "$failed"
