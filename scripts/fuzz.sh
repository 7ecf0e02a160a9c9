#!/usr/bin/env bash
# Runs every fuzz target for so many seconds (20 unless told). Needs a nightly toolchain; cargo-fuzz
# is installed into .cache if it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-20}

if ! cargo fuzz --version >/dev/null 2>&1; then
    tools=$PWD/.cache/tools
    [ -x "$tools/bin/cargo-fuzz" ] || cargo install --quiet --locked --root "$tools" cargo-fuzz
    PATH=$tools/bin:$PATH
fi
# The targets have no unsafe code of their own: without a sanitizer they run several times faster.
for target in fuzz/fuzz_targets/*.rs; do
    name=$(basename "$target" .rs)
    echo "fuzz: $name for ${seconds}s"
    cargo +nightly fuzz run -s none "$name" -- -max_total_time="$seconds" -print_final_stats=1 </dev/null
done
