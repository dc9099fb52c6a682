#!/usr/bin/env bash
# The figures, through the real server and its API, beside the floor of the same disk: a table on standard output, JSON in bench/results.
# Arguments go to the program: `scripts/bench.sh --only rounds --rounds 7`, `--help` for all.
#
# Restate runs the same workloads in the same rounds when it can be had from npm (its server is a download of about 100 MB, kept in the
# cache; it sends no telemetry). TUTTI_BENCH_PEER=none leaves it out.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/house.sh"

need_toolchain || exit 1
# The web app is measured in a browser: what is not there is said, and that part left out by the program.
scripts/web.sh build || say "no figures of the web app: it could not be built"
cargo build --locked --quiet --release --package tutti --package bench </dev/null
mkdir -p "${TUTTI_BENCH_DATA:=$cache/bench}"

# peer: the arguments that name the peer, on standard output; why there is none, on standard error.
peer() {
    local folder="$cache/restate-1.7.12"
    case " $* " in *" --peer "*) return ;; esac
    if [ "${TUTTI_BENCH_PEER:-restate}" = none ]; then say "no peer: TUTTI_BENCH_PEER=none"; return; fi
    if [ "$(uname -sm)" != "Linux x86_64" ]; then say "no peer: its server is looked for on Linux x86_64 only"; return; fi
    if ! has node || ! has npm; then say "no peer: there is no node or no npm"; return; fi
    if [ ! -x "$folder/node_modules/@restatedev/restate-server-linux-x64/bin/restate-server" ]; then
        say "--- the peer: restate-server 1.7.12 from npm"
        mkdir -p "$folder"
        if ! (cd "$folder" && timeout 300 npm install --ignore-scripts --no-audit --no-fund --no-save --loglevel=error \
            @restatedev/restate-server@1.7.12 @restatedev/restate-sdk@1.17.2 >&2); then
            say "no peer: npm could not install it"
            return
        fi
    fi
    printf '%s\n' --peer "restate=$folder"
}

# flyte: the argument that names the environment with the Flyte SDK, on standard output; why there is none, on standard error.
flyte() {
    case " $* " in *" --flyte "*) return ;; esac
    local venv="${TUTTI_FLYTE_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/tutti/flyte-venv}"
    if ! has python3; then say "no figures of Flyte programs: there is no python3"; return; fi
    if ! python/flyte/setup.sh >"$cache/flyte-setup.log" 2>&1 </dev/null; then
        say "no figures of Flyte programs: the SDK could not be installed (see $cache/flyte-setup.log)"
        return
    fi
    printf '%s\n' --flyte "$venv"
}

mapfile -t with_peer < <(peer "$@")
mapfile -t with_flyte < <(flyte "$@")
exec "$CARGO_TARGET_DIR/release/bench" --tutti "$CARGO_TARGET_DIR/release/tutti" --data "$TUTTI_BENCH_DATA" "${with_peer[@]}" "${with_flyte[@]}" "$@"
