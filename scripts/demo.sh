#!/usr/bin/env bash
# The bank story end to end on the embedded default: demo.sh [--up] builds Tutti, sets up what the story's Python steps need, and
# hands over to `tutti demo bank`.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/house.sh"

profile="${TUTTI_PROFILE:-dev}"
data="${TUTTI_DATA:-$root/.demo}"
folder="$CARGO_TARGET_DIR/$([ "$profile" = dev ] && echo debug || echo "$profile")"

need_toolchain || exit 1
need python3 python3 "the steps of the bank story" || exit 1

rig_log="$cache/bank-setup.log"
examples/bank/setup.sh >"$rig_log" 2>&1 </dev/null &
rig=$!
flyte_log="$cache/flyte-setup.log"
python/flyte/setup.sh >"$flyte_log" 2>&1 </dev/null &
flyte=$!
trap 'kill "$rig" "$flyte" 2>/dev/null || true' EXIT

scripts/web.sh build || say "going on without the web app: the server's page says how to get it"

say "building tutti (profile $profile, in $CARGO_TARGET_DIR); the first time takes minutes, and the Python packages come meanwhile"
cargo build --locked --quiet --profile "$profile" --package tutti --package verifier </dev/null

if ! wait "$rig"; then
    say "the Python packages of the bank story could not be installed; the end of $rig_log:"
    tail -n 20 "$rig_log" >&2
    exit 1
fi
if ! wait "$flyte"; then
    say "the Flyte SDK could not be installed, so that the demonstration leaves its program out; the end of $flyte_log:"
    tail -n 5 "$flyte_log" >&2
fi
trap - EXIT

export PATH="$TUTTI_BANK_VENV/bin:$folder:$PATH"
exec tutti demo bank --data "$data" "$@"
