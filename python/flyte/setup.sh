#!/usr/bin/env bash
# Makes the Python environments of the Flyte acceptance tests: in TUTTI_FLYTE_VENV the SDK and what the programs of the tests use (its plugin for
# people, boto3, fastapi, uvicorn, pandas, pyarrow), pinned; beside it one for each other minor version of the SDK, and one with a store that speaks S3
# and with uv, which the tests do without where they cannot be made. Done already, it takes no time.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
venv="${TUTTI_FLYTE_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/tutti/flyte-venv}"

# The environment $1 with the packages of the file $2, which bring the program $3 and the module $4.
make() {
    local venv="$1" packages="$2" program="${3:-a0}" module="${4:-flyte}" stamp
    stamp="$(python3 -c 'import platform, sys; print(platform.machine(), sys.version_info[:2])') $(sha256sum <"$packages")"
    if [ -x "$venv/bin/$program" ] && [ "$(cat "$venv/.stamp" 2>/dev/null)" = "$stamp" ]; then
        return 0
    fi
    rm -f "$venv/.stamp"
    python3 -m venv --clear "$venv" &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: -r "$packages" &&
        "$venv/bin/python" -c "import $module" &&
        printf '%s\n' "$stamp" >"$venv/.stamp" &&
        echo "$module is in $venv" >&2
}

mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock"
flock 9
make "$venv" "$here/requirements.txt"
for packages in "$here"/requirements-*.txt; do
    minor="$(basename "$packages" .txt)"
    minor="${minor#requirements-}"
    other="$(dirname "$venv")/flyte-$minor-venv"
    make "$other" "$packages" || { rm -rf "$other" && echo "there is no environment with the SDK $minor: its tests are left out" >&2; }
done
make "$(dirname "$venv")/flyte-store-venv" "$here/store.txt" moto_server moto || echo "there is no environment with a store that speaks S3: its tests are left out" >&2
