# Finds or makes the Python environment of a Flyte task, and becomes the task. "at" is a folder that the operator named, "named" one below
# the site's environments, "plain" the SDK of one version, made here by the first who needs it.
set -eu
case "$TUTTI_FLYTE_KIND" in
at) venv="$TUTTI_FLYTE_ENVIRONMENT" ;;
named)
    venv="$TUTTI_FLYTE_ENVIRONMENTS/$TUTTI_FLYTE_ENVIRONMENT"
    if [ ! -x "$venv/bin/python" ]; then
        echo "this site has no environment for the image: make one in $venv" >&2
        exit 78
    fi
    ;;
*)
    version="$TUTTI_FLYTE_ENVIRONMENT"
    venv="$TUTTI_FLYTE_ENVIRONMENTS/flyte-${version:-latest}"
    if [ ! -e "$venv/.ready" ]; then
        mkdir -p "$venv" 2>/dev/null || :
        # Within walls it is made for this process alone: what others run is not made there.
        if ! (: >"$venv/.lock") 2>/dev/null; then
            venv="${TMPDIR:-/tmp}/flyte-${version:-latest}"
            mkdir -p "$venv"
        fi
        exec 9>"$venv/.lock"
        flock 9
        if [ ! -e "$venv/.ready" ]; then
            echo "making a Python environment with flyte ${version:-latest}" >&2
            # What was begun by a process that was stopped. The folder itself may be all that can be written here.
            find "$venv" -mindepth 1 ! -path "$venv/.lock" -delete
            python3 -m venv "$venv"
            "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "flyte${version:+==$version}" >&2 || exit 78
            : >"$venv/.ready"
        fi
        exec 9>&-
    fi
    ;;
esac
PATH="$venv/bin:$PATH"
export PATH
exec "$@"
