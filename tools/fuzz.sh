#!/usr/bin/env bash
# Runs every fuzz target for a while: those in Rust on the stable toolchain (without a sanitizer), and the
# configuration loader by atheris.
#
# usage: tools/fuzz.sh [SECONDS]     seconds for each target, 60 by default
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/target/tools/bin:$PATH

if ! command -v cargo-fuzz >/dev/null; then
    echo "==> installing cargo-fuzz into target/tools" >&2
    cargo install --quiet --locked --root target/tools cargo-fuzz
fi
cargo fuzz list | while read -r target; do
    echo "==> $target" >&2
    cargo fuzz run --sanitizer none "$target" -- -max_total_time="${1:-60}" -print_final_stats=1
done

echo "==> configuration loader" >&2
.venv/bin/python -c 'import atheris' 2>/dev/null || .venv/bin/python -m pip install --quiet --disable-pip-version-check atheris
.venv/bin/python fuzz/configuration.py -max_total_time="${1:-60}" -print_final_stats=1
