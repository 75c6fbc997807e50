#!/usr/bin/env bash
# Installs what is missing, and only that: `setup.sh build` what building and running needs,
# `setup.sh test` what only the tests need, `setup.sh mutants` what only the mutation check needs. Cargo's tools go to .tools/, npm's to node_modules/; a
# user's own tools are used when they fit and are never replaced. System packages are installed by
# apt-get, as root or through a sudo that asks nothing; otherwise it says what to install by hand.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$root"

cargo_leptos_minor=0.3
cargo_leptos_patch=10 # 0.3.11 needs a newer Rust than 1.95; later ones are fine where they run.
cargo_mutants_min=27.1.0
wasm_opt_min=123      # Older ones do not know the instructions that today's rustc emits.
node_min=20
python_min=3.11 # The first that reads TOML.

ok() { printf '  ✓ %s\n' "$*"; }
doing() { printf '  … %s\n' "$*"; }
# Says what is missing and how to get it, and ends.
give_up() {
    printf '\n  ✗ %s\n' "$1" >&2
    shift
    printf '    %s\n' "$@" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
# The first number with a dot in what a program says of itself.
version_of() { "$@" 2>/dev/null | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1; }
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

as_root=()
apt_updated=
# apt_install <what it is for> <how to do it by hand> <package>…
apt_install() {
    local purpose=$1 by_hand=$2
    shift 2
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo -n)
        has sudo && sudo -n true 2>/dev/null || as_root=(false)
    fi
    if ! has apt-get || [ "${as_root[0]:-}" = false ]; then
        give_up "$purpose is missing, and this user cannot install packages." "$by_hand" "Then run make again."
    fi
    export DEBIAN_FRONTEND=noninteractive
    if [ -z "$apt_updated" ]; then
        doing "apt-get update"
        "${as_root[@]}" apt-get update -qq || give_up "apt-get update failed." "$by_hand"
        apt_updated=yes
    fi
    doing "apt-get install $*"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null ||
        give_up "apt-get could not install $*." "$by_hand"
}

need_rust() {
    has cargo && has rustc || give_up "Rust is missing." \
        "Install it with rustup, from https://rustup.rs, and run make again."
    local have need
    have=$(version_of rustc --version)
    need=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    at_least "$have" "$need" || give_up "Rust $have is too old; $need or newer is needed." "rustup update stable"
    has cc || apt_install "A C linker (cc)" "Install gcc." gcc libc6-dev
    ok "Rust $have"
}

need_wasm_target() {
    local target=wasm32-unknown-unknown
    if ! compgen -G "$(rustc --print target-libdir --target $target)/libstd-*.rlib" >/dev/null; then
        has rustup || give_up "Rust's target $target is missing." \
            "Install it as you installed Rust (Debian: libstd-rust-dev-wasm32; rustup: rustup target add $target)."
        doing "rustup target add $target"
        rustup target add "$target"
    fi
    ok "target $target"
}

# cargo_tool <crate> <version> [cargo install options]: a debug build, because these tools take
# twice as long to build for release as they ever save here.
cargo_tool() {
    local crate=$1 version=$2
    shift 2
    doing "cargo install $crate $version into .tools/ (some minutes, once)"
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR="$tools/build" \
        cargo install --debug --root "$tools" --version "=$version" "$@" "$crate" ||
        give_up "$crate $version could not be installed." "Install it by hand: cargo install $crate --version $version"
}

need_cargo_leptos() {
    local have
    have=$(version_of cargo-leptos --version || true)
    case $have in
    "$cargo_leptos_minor".*) at_least "$have" "$cargo_leptos_minor.$cargo_leptos_patch" || have= ;;
    *) have= ;;
    esac
    if [ -z "$have" ]; then
        have=$cargo_leptos_minor.$cargo_leptos_patch
        # Without its downloads: it takes the tools that are installed here.
        cargo_tool cargo-leptos "$have" --locked --features no_downloads
    fi
    ok "cargo-leptos $have"
}

# The tool and the library speak a private protocol, so their versions must be equal.
need_wasm_bindgen() {
    local need
    need=$(sed -n '/^name = "wasm-bindgen"$/{n;s/^version = "\(.*\)"/\1/p}' Cargo.lock)
    if [ "$(version_of wasm-bindgen --version || true)" != "$need" ] ||
        [ "$(version_of wasm-bindgen-test-runner --version || true)" != "$need" ]; then
        # Not --locked: its own lock file may name versions that are not published.
        cargo_tool wasm-bindgen-cli "$need"
    fi
    ok "wasm-bindgen $need"
}

need_cargo_mutants() {
    local have
    have=$(version_of cargo-mutants mutants --version || true)
    if ! at_least "${have:-0}" "$cargo_mutants_min"; then
        have=$cargo_mutants_min
        cargo_tool cargo-mutants "$have" --locked
    fi
    ok "cargo-mutants $have"
}

# need_node <lowest major version>
need_node() {
    local have
    has node && has npm || apt_install "Node.js with npm" "Install Node.js $1 or newer." nodejs npm
    have=$(version_of node --version)
    at_least "$have" "$1" || give_up "Node.js $have is too old; $1 or newer is needed." \
        "See https://nodejs.org/en/download, or your distribution's backports."
    ok "Node.js $have"
}

# need_npm_packages <folder>: what its lock file names.
need_npm_packages() {
    if ! [ "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ]; then
        doing "npm ci in $1"
        (cd "$1" && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund --loglevel=error) ||
            give_up "npm could not install the packages of $1." "Run by hand: cd $1 && npm ci"
    fi
    ok "npm packages of $1"
}

need_wasm_opt() {
    local have
    have=$(wasm-opt --version 2>/dev/null | grep -oE '[0-9]+' | head -n 1 || true)
    if [ "${have:-0}" -lt "$wasm_opt_min" ]; then
        need_node 18
        need_npm_packages scripts/tools
        have=$(wasm-opt --version 2>/dev/null | grep -oE '[0-9]+' | head -n 1 || true)
        [ "${have:-0}" -ge "$wasm_opt_min" ] || give_up "wasm-opt does not run." \
            "Install binaryen $wasm_opt_min or newer, so that wasm-opt is on the PATH."
    fi
    ok "wasm-opt $have"
}

postgres_folders() {
    printf '%s\n' "${TOLLGATE_POSTGRES_BIN:-}" /usr/lib/postgresql/*/bin
    pg_config --bindir 2>/dev/null || true
    dirname "$(command -v postgres || true)"
}

find_postgres() {
    local folder
    while read -r folder; do
        if [ -n "$folder" ] && [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then
            printf '%s\n' "$folder"
            return
        fi
    done < <(postgres_folders)
    return 1
}

# Tollgate runs a cluster of its own from these programs; the one that Debian's package would
# create and start is not wanted, so it is told not to, for this installation only.
need_postgres() {
    if ! find_postgres >/dev/null; then
        local by_hand="Install Postgres (its server programs), or name their folder in TOLLGATE_POSTGRES_BIN."
        local no_cluster=/etc/postgresql-common/createcluster.d/tollgate-setup.conf
        apt_install "Postgres" "$by_hand" postgresql-common
        "${as_root[@]}" mkdir -p "$(dirname "$no_cluster")"
        echo "create_main_cluster = false" | "${as_root[@]}" tee "$no_cluster" >/dev/null
        apt_install "Postgres" "$by_hand" postgresql
        "${as_root[@]}" rm -f "$no_cluster"
        find_postgres >/dev/null || give_up "Postgres was installed, but its programs were not found." "$by_hand"
    fi
    has flock && has setsid || apt_install "util-linux (flock, setsid)" "Install util-linux." util-linux
    ok "Postgres $(version_of "$(find_postgres)/postgres" --version) in $(find_postgres)"
}

need_rust_checkers() {
    local component
    for component in clippy rustfmt; do
        if ! has "cargo-${component/rustfmt/fmt}"; then
            has rustup || give_up "$component is missing." "Install it as you installed Rust."
            doing "rustup component add $component"
            rustup component add "$component"
        fi
    done
    ok "clippy and rustfmt"
}

need_browser() {
    local found
    if ! found=$("$root/scripts/chromium.sh"); then
        apt_install "Chromium" "Install Chromium or Chrome, or name its program in TOLLGATE_CHROMIUM." chromium
        found=$("$root/scripts/chromium.sh") || give_up "Chromium was installed but not found." \
            "Name its program in TOLLGATE_CHROMIUM."
    fi
    ok "$("$found" --version 2>/dev/null || echo "$found")"
    if ! has fc-list || [ -z "$(fc-list :lang=zh family)" ]; then
        apt_install "A Chinese font" "Install fonts-noto-cjk." fontconfig fonts-noto-cjk
    fi
    ok "a Chinese font"
}

# For the structure check, and for the libraries that need_sdk installs.
need_python() {
    local have
    has python3 || apt_install "Python" "Install python3." python3
    have=$(version_of python3 --version)
    at_least "$have" "$python_min" || give_up "Python $have is too old; $python_min or newer is needed." \
        "Install a newer python3, so that it is the first on the PATH."
    ok "Python $have"
}

# need_sdk <folder> <requirements>: a library for Python that tests call the server with, in an
# environment of its own, .tools/<folder>.
need_sdk() {
    local folder=$tools/$1 wanted=$2
    if ! [ -x "$folder/bin/python" ] || ! cmp -s "$wanted" "$folder/installed.txt"; then
        python3 -c 'import ensurepip, venv' 2>/dev/null ||
            apt_install "Python's venv" "Install python3-venv." python3-venv
        doing "pip install -r $wanted into .tools/$1"
        python3 -m venv --clear "$folder" &&
            "$folder/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$wanted" ||
            give_up "What $wanted lists could not be installed." \
                "Run by hand, with Python $python_min or newer: python3 -m venv .tools/$1 && .tools/$1/bin/pip install -r $wanted"
        cp "$wanted" "$folder/installed.txt"
    fi
    ok "$1 for Python"
}

[ "$#" -gt 0 ] || set -- build
for group in "$@"; do
    case $group in
    build)
        echo "Setting up for building and running"
        need_rust
        need_wasm_target
        need_cargo_leptos
        need_wasm_bindgen
        need_wasm_opt
        if [ -n "${DATABASE_URL:-}" ]; then
            ok "DATABASE_URL is set, so no Postgres is needed here"
        else
            need_postgres
        fi
        ;;
    test)
        echo "Setting up for the tests"
        need_rust_checkers
        need_postgres
        need_node "$node_min"
        need_npm_packages end2end
        need_browser
        need_python
        need_sdk openai end2end/openai/requirements.txt
        need_sdk schemathesis end2end/schemathesis/requirements.txt
        need_sdk langfuse-2 end2end/langfuse/requirements-2.txt
        need_sdk langfuse-4 end2end/langfuse/requirements-4.txt
        ;;
    mutants)
        echo "Setting up for the mutation check"
        need_cargo_mutants
        ;;
    *)
        echo "usage: $0 [build] [test] [mutants]" >&2
        exit 2
        ;;
    esac
done
rm -rf "$tools/build"
