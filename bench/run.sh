#!/usr/bin/env bash
# Measures what lastref costs: `bench/run.sh [sweep|holders|watch|explain] [--smoke] [--note TEXT]`, all if none is named.
# `--smoke`: only whether the benchmarks run.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" != 0 ]; then
    echo "bench: needs root (CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN): sudo make bench" >&2
    exit 1
fi
parts=(sweep holders watch explain)
case "${1:-}" in
sweep | holders | watch | explain)
    parts=("$1")
    shift
    ;;
esac
target=${CARGO_TARGET_DIR:-target}
cargo build --release --quiet -p lastref -p bench-sweep -p bench-holders -p bench-watch -p bench-explain
export LASTREF_BIN=${LASTREF_BIN:-$target/release/lastref}
out=(--out bench/results)
for argument in "$@"; do
    if [ "$argument" = --smoke ]; then
        out=()
    fi
done
for part in "${parts[@]}"; do
    "$target/release/bench-$part" "${out[@]}" "$@"
done
