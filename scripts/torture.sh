#!/usr/bin/env bash
# Kills servers and Postgres under load for MINUTES, and checks that every message was charged once.
# SEED repeats what clients ask and who is killed when. The release build is tested if there is one.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$root"

export TORTURE_MINUTES=${MINUTES:-5} TORTURE_SEED=${SEED:-$RANDOM$RANDOM}
release=$root/target/release/tollgate
if [ -x "$release" ]; then
    export TOLLGATE_PROGRAM=$release
fi
echo "Torture for $TORTURE_MINUTES minutes of ${TOLLGATE_PROGRAM:-a debug build}. To repeat it:"
echo "  make torture SEED=$TORTURE_SEED MINUTES=$TORTURE_MINUTES"
cargo test --locked -p server --features app/ssr --test it -- --nocapture --exact torture::for_as_long_as_it_is_told
