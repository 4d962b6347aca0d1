#!/usr/bin/env bash
# Every check that needs no running proxy. All of them run; the exit status is 1 if any failed.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=()

check() {
    local name=$1
    shift
    printf '==> %s\n' "$name" >&2
    "$@" || failed+=("$name")
}

check "ruff" .venv/bin/ruff check --quiet .
check "ruff format" .venv/bin/ruff format --quiet --check .
check "mypy" .venv/bin/mypy
check "stubtest" .venv/bin/stubtest --mypy-config-file pyproject.toml reviver._engine
check "cargo fmt" cargo fmt --all --check
# what is no part of the workspace
check "cargo fmt (loadgen)" cargo fmt --manifest-path benches/loadgen/Cargo.toml --check
check "cargo fmt (fuzz)" cargo fmt --manifest-path fuzz/Cargo.toml --check
check "lock file" cargo metadata --locked --format-version 1 --quiet --no-deps >/dev/null
check "clippy" cargo clippy --quiet --workspace --all-targets -- -D warnings
check "clippy (loadgen)" \
    cargo clippy --quiet --manifest-path benches/loadgen/Cargo.toml --target-dir target --all-targets -- -D warnings
if command -v cargo-deny >/dev/null; then
    check "cargo deny" cargo deny --log-level error check bans licenses sources
fi
check "generated files" .venv/bin/python tools/generate.py --check

if [ ${#failed[@]} -gt 0 ]; then
    printf 'lint failed: %s\n' "$(IFS=,; echo "${failed[*]}")" >&2
    exit 1
fi
