#!/usr/bin/env bash
# Makes the Python environment of the Flyte acceptance tests in TUTTI_FLYTE_VENV: the SDK, and what the programs of the tests use (its plugin for people, boto3, fastapi, uvicorn, pandas, pyarrow), pinned. Done already, it takes no time.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
venv="${TUTTI_FLYTE_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/tutti/flyte-venv}"

mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock"
flock 9
stamp="$(python3 -c 'import platform, sys; print(platform.machine(), sys.version_info[:2])') $(sha256sum <"$here/requirements.txt")"
if [ -x "$venv/bin/a0" ] && [ "$(cat "$venv/.stamp" 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi
rm -f "$venv/.stamp"
python3 -m venv --clear "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: -r "$here/requirements.txt"
"$venv/bin/python" -c 'import flyte'
printf '%s\n' "$stamp" >"$venv/.stamp"
echo "the Flyte SDK is in $venv" >&2
