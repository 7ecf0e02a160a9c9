#!/usr/bin/env bash
# Runs every fuzz target for so many seconds (20 unless told). cargo-fuzz is installed into .cache if
# it is missing. It passes flags that only a nightly compiler takes, or one that is told to.
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
    # What is found goes to the first folder; the seeds only begin it.
    folders=("fuzz/corpus/$name")
    mkdir -p "${folders[0]}"
    [ -d "fuzz/seeds/$name" ] && folders+=("fuzz/seeds/$name")
    RUSTC_BOOTSTRAP=1 cargo fuzz run -s none "$name" "${folders[@]}" -- -max_total_time="$seconds" -print_final_stats=1 </dev/null
done
