#!/usr/bin/env bash
# Installs what building and testing need, says what it does, and is quick when nothing is missing.
#
# usage: tools/setup.sh [build|dev]
#   build   a C compiler, Rust, Python 3.11+, and .venv with the run-time dependencies and maturin
#   dev     all of that, and the tools of `make test` and `make lint`     (default)
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


print(*project["project"]["dependencies"], *expand(sys.argv[1]), sep="\n")
PYTHON
}

version=$("$python" -VV)
fingerprint() { { echo "$version"; requirements "$1"; } | sha256sum | cut -d' ' -f1; }

# What `dev` has installed is enough for `build`.
if [ -x .venv/bin/python ] && .venv/bin/python -c '' 2>/dev/null; then
    for done in dev "$level"; do
        [ "$(cat ".venv/.setup-$done" 2>/dev/null)" = "$(fingerprint "$done")" ] && exit 0
    done
else
    say "making .venv with ${version%%$'\n'*}"
    "$python" -m venv --clear .venv
fi

requirements "$level" >.venv/requirements.txt
say "installing the Python packages of group '$level' into .venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r .venv/requirements.txt >&2
fingerprint "$level" >".venv/.setup-$level"
