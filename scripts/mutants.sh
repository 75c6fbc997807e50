#!/usr/bin/env bash
# Changes the code that counts money in every small way, one at a time, and runs the tests of its crate:
# a change that no test notices is listed as missed. Takes hours, less with cargo-nextest. Arguments
# choose crates (shared, ledger); what follows -- goes to cargo-mutants (--list, --file …, --shard 1/8,
# --jobs 2 …). What it did is in target/mutants/.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$root"

# What computes prices and keeps the books; nothing that only shows or transports them.
shared=(money price quote tokens usage/merge usage/payable usage/report)
ledger=(records/credit records/dues records/entry charging/decide charging/message charging/batch charging/change
    charging/commit charging/record charging/write posting/accounts store/write operations/hold operations/refund
    operations/rerate)

crates=()
while [ "$#" -gt 0 ] && [ "$1" != -- ]; do
    crates+=("$1")
    shift
done
[ "$#" -eq 0 ] || shift
[ "${#crates[@]}" -gt 0 ] || crates=(shared ledger)

# Most mutants meet the first test that fails within seconds, and nextest ends there.
test_tool=cargo
if cargo nextest --version >/dev/null 2>&1; then
    test_tool=nextest
fi
# A mutant is caught by the first test that fails; looking for a shorter sequence is of no use here, nor are
# the lines of a stack.
export PROPTEST_MAX_SHRINK_ITERS=0 NEXTEST_PROFILE=mutants CARGO_PROFILE_DEV_DEBUG=0
for crate in "${crates[@]}"; do
    declare -n modules=$crate
    files=()
    for module in "${modules[@]}"; do
        files+=(--file "$crate/src/$module.rs")
    done
    mkdir -p "target/mutants/$crate"
    # A test that hangs is a test that noticed.
    cargo mutants --package "$crate" --test-package "$crate" "${files[@]}" --test-tool "$test_tool" \
        --timeout 600 --no-shuffle --cargo-arg=--locked \
        --output "target/mutants/$crate" "$@"
done
