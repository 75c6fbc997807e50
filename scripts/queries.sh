#!/usr/bin/env bash
# Renews .sqlx/: what Postgres says of each statement of sqlx::query!, under the schema of migrations/. The
# macros ask it while they are compiled, so this needs no tool of sqlx's.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$root"

# A cluster of the last time may have the schema of that time.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/descriptions"
# Cargo does not see what macros are compiled from.
touch ledger/src/lib.rs
cargo run --quiet --locked -p private_postgres --example with_schema -- "$scratch/postgres" migrations \
    env SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$scratch/descriptions" cargo check --locked -p ledger
rm -rf .sqlx
mv "$scratch/descriptions" .sqlx
# And once more from what was committed, so that the next build begins with it.
touch ledger/src/lib.rs
cargo check --quiet --locked -p ledger
echo "$(find .sqlx -name '*.json' | wc -l) statements are described in .sqlx"
