#!/usr/bin/env bash
# Builds for release: the binary target/release/tollgate and the site target/site.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$root"

echo "Building for release (the first time takes some minutes)"
# Its tools (wasm-bindgen, wasm-opt) are the ones that setup.sh put on the PATH.
cargo leptos build --release --split
scripts/precompress.mjs
for result in target/release/tollgate target/site/pkg/tollgate.{js,wasm,css}.br; do
    [ -s "$result" ] || { echo "the build made no $result" >&2; exit 1; }
done
touch target/site/.built
