#!/usr/bin/env bash
# Builds a release and puts it where programs of a user live.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/house.sh"

need_toolchain || exit 1
bin="${PREFIX:-$HOME/.local}/bin"
cargo build --locked --release --package tutti --package executors --bins
mkdir -p "$bin"
for program in tutti tutti-shim; do
    if [ -x "$CARGO_TARGET_DIR/release/$program" ]; then
        install -m 755 "$CARGO_TARGET_DIR/release/$program" "$bin/$program"
        say "installed $bin/$program"
    fi
done
case ":$PATH:" in *":$bin:"*) ;; *) say "$bin is not on your PATH: add it" ;; esac
