#!/usr/bin/env bash
# Runs every check and every test, the quick ones first, and stops at the first failure. Arguments
# name the steps to run instead of all.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$root"

steps=(structure tidy format clippy clippy-wasm rust wasm build budget browser)
# The crates that run natively. `app` is compiled for the server here and for the browser only as a
# part of `frontend`: one invocation with both would give each the other's features.
native=(-p shared -p private_postgres -p dify_client -p ledger -p access -p app -p server -p testkit -p bench --features app/ssr)

# Its own tests first: a checker that finds nothing proves nothing.
step_structure() {
    python3 -B -m unittest discover --start-directory scripts/structure
    python3 -B scripts/structure/check.py
}
step_tidy() { scripts/tidy.sh; }
step_format() { cargo fmt --all --check; }
step_clippy() { cargo clippy --locked "${native[@]}" --all-targets -- -D warnings; }
step_clippy-wasm() {
    cargo clippy --locked -p frontend --target wasm32-unknown-unknown -- -D warnings
    cargo clippy --locked -p shared --all-targets --target wasm32-unknown-unknown -- -D warnings
}
step_rust() { cargo test --locked "${native[@]}"; }
step_wasm() {
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner \
        cargo test --locked -p shared --test it --target wasm32-unknown-unknown
}
step_build() { make build; }
step_budget() { scripts/wasm-budget.mjs; }
step_browser() { (cd end2end && npm test --silent); }

[ "$#" -eq 0 ] || steps=("$@")
report=()
for step in "${steps[@]}"; do
    declare -F "step_$step" >/dev/null || { echo "there is no step $step" >&2; exit 2; }
done
for step in "${steps[@]}"; do
    printf '\n── %s ──\n' "$step"
    begun=$SECONDS
    # In a shell of its own, because bash ignores failures inside a tested function.
    set +e
    (
        set -e
        "step_$step"
    )
    status=$?
    set -e
    report+=("$(printf '%6d s  %s' $((SECONDS - begun)) "$step")")
    if [ "$status" -ne 0 ]; then
        printf '\n%s ← failed\n\nsteps: %d passed, 1 failed\n' "$(printf '%s\n' "${report[@]}")" $((${#report[@]} - 1))
        exit 1
    fi
done
printf '\n%s\n\nsteps: %d passed, 0 failed\n' "$(printf '%s\n' "${report[@]}")" "${#report[@]}"
