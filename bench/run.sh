#!/usr/bin/env bash
# Measures what a sweep costs. `--smoke`: only whether the benchmark runs.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ]; then
    echo "bench: needs root (CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN): sudo make bench" >&2
    exit 1
fi
target=${CARGO_TARGET_DIR:-target}
cargo build --release --quiet -p bench-sweep
export LASTREF_BIN=${LASTREF_BIN:-$target/release/lastref}
if [ "${1:-}" = --smoke ]; then
    exec "$target/release/bench-sweep" "$@"
fi
exec "$target/release/bench-sweep" --out bench/results "$@"
