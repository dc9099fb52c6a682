# What the scripts share: where things are built, how stages are timed, how missing tools are got. Sourced, not run.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"

# Outside of the clone, so that a second clone and a cleaned one build little.
cache="${TUTTI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tutti}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"
export TUTTI_BANK_VENV="${TUTTI_BANK_VENV:-$cache/bank-venv}"
mkdir -p "$CARGO_TARGET_DIR" "$cache"

# Colour and progress bars for people only.
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-$([ -t 1 ] && echo auto || echo never)}"
[ -n "${CI:-}" ] && export CARGO_TERM_PROGRESS_WHEN="${CARGO_TERM_PROGRESS_WHEN:-never}"

say() { printf '%s\n' "$*" >&2; }

has() { command -v "$1" >/dev/null 2>&1; }

# Seconds since the epoch with milliseconds.
clock() { date +%s.%3N; }

stage_names=() stage_times=() stage_results=()
failed=0

# stage NAME COMMAND…: runs it, remembers how long it took and how it ended, and goes on.
stage() {
    local name="$1" began ended result=ok
    shift
    say "--- $name"
    began="$(clock)"
    "$@" || { result="FAILED ($?)"; failed=1; }
    ended="$(clock)"
    stage_names+=("$name")
    stage_times+=("$(awk -v a="$began" -v b="$ended" 'BEGIN { printf "%.1f", b - a }')")
    stage_results+=("$result")
}

# skip NAME WHY: remembers what was left out.
skip() {
    say "--- $1: skipped, $2"
    stage_names+=("$1") stage_times+=("-") stage_results+=("skipped: $2")
}

# Prints every stage with its time.
timings() {
    local index
    say ""
    for index in "${!stage_names[@]}"; do
        printf '%8s s  %-10s %s\n' "${stage_times[$index]}" "${stage_names[$index]}" "${stage_results[$index]}" >&2
    done
}

# as_root COMMAND…: as root, through sudo when that asks no question. False when neither is to be had.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif has sudo && sudo -n true 2>/dev/null; then sudo -n "$@"; else return 1; fi
}

# need COMMAND PACKAGE WHAT-FOR: has it, or gets it with apt, or says what it would have been for.
need() {
    has "$1" && return 0
    if has apt-get; then
        say "$1 is missing ($3): installing $2"
        if { as_root apt-get install -y -q "$2" || { as_root apt-get update -q && as_root apt-get install -y -q "$2"; }; } \
            >"$cache/apt.log" 2>&1 </dev/null && has "$1"; then
            return 0
        fi
    fi
    say "$1 is missing and could not be installed ($3): install $2"
    return 1
}

# What every build needs. Rust itself is not installed here: rust-toolchain.toml names the version.
need_toolchain() {
    if ! has cargo; then
        say "cargo is missing: install Rust $(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml) (https://rustup.rs)"
        return 1
    fi
    need cc build-essential "compiles SQLite"
}
