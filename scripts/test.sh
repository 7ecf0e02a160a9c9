#!/usr/bin/env bash
# All tests of the workspace here, and a third of the tests from outside on one more kernel in QEMU.
#
# Tests that make BPF objects need CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN, and a kernel with BTF.
# Where that is not to be had, they run in QEMU alone.
set -euo pipefail
cd "$(dirname "$0")/.."

# Packages with such tests.
bpf_packages=(lastref-e2e lastref lastref-kernel lastref-process lastref-session lastref-lab)

can_bpf() {
    local capabilities bit
    [ -r /sys/kernel/btf/vmlinux ] || return 1
    capabilities=$((16#$(awk '/^CapEff:/ {print $2}' /proc/self/status)))
    for bit in 21 38 39; do
        ((capabilities >> bit & 1)) || return 1
    done
}

# The time of the kernel log's last record; nothing where the log may not be read.
last_record() {
    { dmesg 2>/dev/null || true; } | sed -n 's/^\[ *\([0-9.]*\)\].*/\1/p' | tail -n 1
}

# What the kernel complains about after that time. The words are those of xtask/src/kernel_log.rs;
# in the log of a machine that other people use, a line of the audit may have any words.
complaints_since() {
    { dmesg 2>/dev/null || true; } | awk -v since="$1" '
        match($0, /^\[ *[0-9]+\.[0-9]+\]/) {
            time = substr($0, 2, RLENGTH - 2) + 0
            text = substr($0, RLENGTH + 2)
            if (time > since + 0 && text !~ /^audit: / &&
                text ~ /WARNING:|BUG:|Oops|Call Trace:|Kernel panic|general protection fault|UBSAN:|refcount_t:|blocked for more than|detected( expedited)? stall/)
                print
        }'
}

# The tests from outside start programs that cargo does not build for them.
cargo build --workspace --bins

if can_bpf; then
    since=$(last_record)
    status=0
    cargo test --workspace --no-fail-fast || status=$?
    if [ -z "$since" ]; then
        echo "the kernel's log cannot be read: what it says of these tests is not known"
    elif complaints=$(complaints_since "$since") && [ -n "$complaints" ]; then
        printf 'the kernel complained during the tests (see dmesg):\n%s\n' "$complaints" >&2
        status=1
    fi
    [ "$status" = 0 ] || exit "$status"
    # A third of them, so that all takes at most 15 minutes; make test-kernels runs all.
    cargo xtask test-kernels --kernel newest --every 3
else
    echo "no BPF for this user or on this kernel: what needs it runs in QEMU alone"
    excluded=()
    packages=()
    for package in "${bpf_packages[@]}"; do
        excluded+=(--exclude "$package")
        packages+=(--package "$package")
    done
    cargo test --workspace --no-fail-fast "${excluded[@]}"
    cargo xtask test-kernels --kernel newest "${packages[@]}"
fi
