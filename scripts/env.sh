# shellcheck shell=bash
# Sourced by the other scripts: where the repository's own tools are, before any of the system.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=$root/.tools
export PATH="$tools/bin:$root/scripts/tools/node_modules/.bin:$PATH:${CARGO_HOME:-$HOME/.cargo}/bin"
