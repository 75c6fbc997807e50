#!/usr/bin/env bash
# What neither rustfmt nor clippy sees: things that must not be in the repository.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=0
# refuse <why> <extended regular expression> <path>…: among the files that git knows or would add.
refuse() {
    local why=$1 pattern=$2
    shift 2
    local found
    found=$(git ls-files --cached --others --exclude-standard -z -- "$@" ':!scripts/tidy.sh' |
        xargs -0 --no-run-if-empty grep -nIE -- "$pattern" /dev/null || true)
    if [ -n "$found" ]; then
        printf '✗ %s\n%s\n' "$why" "$(sed 's/^/    /' <<<"$found")" >&2
        failed=1
    fi
}

refuse "A path or address of one particular machine." '(^|[^a-z])/(work|root)/|/home/[a-z]+/' '*' ':!LICENSE'
refuse "A package lock must not name where packages are downloaded from." '"resolved":' '*package-lock.json'
refuse "A conflict marker." '^(<<<<<<<|>>>>>>>) ' '*'
refuse "Trailing white space." '[[:blank:]]+$' '*.rs' '*.sql' '*.sh' '*.css' '*.ts' '*.mjs' '*.toml' Makefile
refuse "A test that is skipped or runs alone." '(test|describe)\.(only|skip|fixme)\(|#\[ignore' '*.ts' '*.rs'

# Migrations run in the order of their numbers, without a gap.
expected=1
for migration in migrations/*.sql; do
    number=$(basename "$migration" | grep -oE '^[0-9]{4}' || true)
    if [ "$number" != "$(printf '%04d' "$expected")" ]; then
        echo "✗ $migration should be number $(printf '%04d' "$expected")" >&2
        failed=1
    fi
    expected=$((expected + 1))
done

[ "$failed" -eq 0 ] && echo "tidy"
exit "$failed"
