#!/usr/bin/env bash
# Builds a release and puts it where programs of a user live.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/house.sh"

need_toolchain || exit 1
bin="${PREFIX:-$HOME/.local}/bin"
scripts/web.sh build || say "going on without the web app"
cargo build --locked --release --package tutti
mkdir -p "$bin"
install -m 755 "$CARGO_TARGET_DIR/release/tutti" "$bin/tutti"
say "installed $bin/tutti"
case ":$PATH:" in *":$bin:"*) ;; *) say "$bin is not on your PATH: add it" ;; esac
