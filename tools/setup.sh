#!/usr/bin/env bash
# Installs what building and testing need, says what it does, and is quick when nothing is missing.
#
# usage: tools/setup.sh [build|dev]
#   build   a C compiler, Rust, Python 3.11+, and .venv with the run-time dependencies and maturin
#   dev     all of that, and the tools of `make test` and `make lint`     (default); as root on Debian also the
#           clients that some tests drive: chromium (large), h2load, openssl
set -euo pipefail
cd "$(dirname "$0")/.."

level=${1:-dev}
case $level in build | dev) ;; *) echo "usage: tools/setup.sh [build|dev]" >&2; exit 2 ;; esac

say() { printf '==> %s\n' "$*" >&2; }
give_up() { printf 'setup: %s\n' "$*" >&2; exit 1; }
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

# Installs Debian packages when that is possible; otherwise says what a person has to install.
debian() {
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        give_up "missing: $*. Install it (on Debian, as root: apt-get install $*) and run this again"
    fi
    say "apt-get install $*"
    export DEBIAN_FRONTEND=noninteractive
    if [ -z "${updated:-}" ]; then apt-get -qq update >&2; updated=yes; fi
    apt-get -qq install --no-install-recommends "$@" >&2
}

# ---- system programs

missing=()
command -v cc >/dev/null || missing+=(build-essential)
if [ "$level" = dev ]; then
    command -v curl >/dev/null || missing+=(curl ca-certificates)
    command -v git >/dev/null || missing+=(git)
fi
[ ${#missing[@]} -eq 0 ] || debian "${missing[@]}"

# Tests that need one of these say so when they skip.
if [ "$level" = dev ]; then
    wished=()
    command -v openssl >/dev/null || wished+=(openssl)
    command -v h2load >/dev/null || wished+=(nghttp2-client)
    command -v pebble >/dev/null || wished+=(pebble)
    command -v chromium >/dev/null || wished+=(chromium)
    if [ ${#wished[@]} -gt 0 ]; then
        if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
            say "programs for some of the tests; chromium is several hundred megabytes, once"
            (debian "${wished[@]}") || say "not installed: ${wished[*]}; the tests that need them will be skipped"
        else
            say "missing: ${wished[*]}; the tests that need them will be skipped"
        fi
    fi
fi

# ---- Rust: the oldest release that the workspace accepts stands in Cargo.toml

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
recent_cargo() {
    command -v cargo >/dev/null &&
        printf '%s\n%s\n' "$wanted" "$(cargo --version | cut -d' ' -f2)" | sort -CV
}
if ! recent_cargo && [ "$(id -u)" -eq 0 ] && command -v apt-cache >/dev/null; then
    say "Rust $wanted or later is missing; looking for Debian's rustup"
    apt-get -qq update >&2
    updated=yes
    if apt-cache show rustup >/dev/null 2>&1; then
        debian rustup
        rustup toolchain install --profile minimal --component clippy,rustfmt stable >&2
    fi
fi
recent_cargo || give_up "Rust $wanted or later is needed (cargo on PATH); https://rustup.rs installs it"

# ---- Python and its environment

python=
for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    debian python3 python3-venv
    python=python3
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || give_up "Python 3.11 or later is needed"
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || debian python3-venv

# The lists stand in pyproject.toml alone; reading them here asks for no recent pip.
requirements() {
    "$python" - "$1" <<'PYTHON'
import sys
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)


def expand(group):
    for entry in project["dependency-groups"][group]:
        if isinstance(entry, dict):
            yield from expand(entry["include-group"])
        else:
            yield entry


group = sys.argv[1]
base = project["project"]["dependencies"] if group in ("build", "dev") else []
print(*base, *expand(group), sep="\n")
PYTHON
}

version=$("$python" -VV)
fingerprint() { { echo "$version"; requirements "$1"; } | sha256sum | cut -d' ' -f1; }

# What `dev` has installed is enough for `build`.
installed() {
    for done in dev "$level"; do
        [ "$(cat ".venv/.setup-$done" 2>/dev/null)" = "$(fingerprint "$done")" ] && return 0
    done
    return 1
}

if ! { [ -x .venv/bin/python ] && .venv/bin/python -c '' 2>/dev/null; }; then
    say "making .venv with ${version%%$'\n'*}"
    "$python" -m venv --clear .venv
fi
if ! installed; then
    requirements "$level" >.venv/requirements.txt
    say "installing the Python packages of group '$level' into .venv"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r .venv/requirements.txt >&2
    fingerprint "$level" >".venv/.setup-$level"
fi

if [ "$level" = dev ] && [ "$(cat .venv/sslyze/.setup 2>/dev/null)" != "$(fingerprint sslyze)" ]; then
    say "installing sslyze into .venv/sslyze"
    "$python" -m venv --clear .venv/sslyze
    requirements sslyze >.venv/sslyze/requirements.txt
    if .venv/sslyze/bin/python -m pip install --quiet --disable-pip-version-check -r .venv/sslyze/requirements.txt >&2
    then
        fingerprint sslyze >.venv/sslyze/.setup
    else
        say "sslyze is not to be had here; the tests that need it will be skipped"
    fi
fi
