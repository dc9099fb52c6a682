#!/usr/bin/env bash
# The book and the API documentation.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/house.sh"

need_toolchain || exit 1
cargo xtask generate
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
say "API documentation: $CARGO_TARGET_DIR/doc/tutti/index.html"
if has mdbook; then
    mdbook build docs --dest-dir "$CARGO_TARGET_DIR/book"
    say "book: $CARGO_TARGET_DIR/book/index.html"
else
    say "mdbook is not there, so the book was not built (cargo install mdbook takes some minutes); its pages are plain Markdown: docs/SUMMARY.md"
fi
