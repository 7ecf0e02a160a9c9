#!/usr/bin/env bash
# All tests of the workspace here, and the tests from outside on one more kernel in QEMU.
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

# The tests from outside start programs that cargo does not build for them.
cargo build --workspace --bins

if can_bpf; then
    cargo test --workspace --no-fail-fast
    cargo xtask test-kernels --kernel newest
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
