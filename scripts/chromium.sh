#!/usr/bin/env bash
# Prints the program of the browser that the tests use; fails when there is none.
set -euo pipefail
for program in "${TOLLGATE_CHROMIUM:-}" chromium chromium-browser google-chrome-stable google-chrome; do
    if [ -n "$program" ] && command -v "$program"; then
        exit 0
    fi
done
exit 1
