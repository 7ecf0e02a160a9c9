#!/usr/bin/env bash
# Installs what building and testing needs beside a Rust toolchain, on Debian and Ubuntu: only what
# is missing, and says nothing if nothing is. Uses sudo if not root.
set -euo pipefail

fail() {
    echo "install-deps: $*" >&2
    exit 1
}

installed() {
    [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null)" = "ii " ]
}

# Does apt have a version to install? Not `| grep -q`: that ends before apt-cache has written all,
# whose death by SIGPIPE is then the pipeline's.
offered() {
    local policy
    policy=$(LC_ALL=C apt-cache policy "$1" 2>/dev/null) || return 1
    [[ $policy =~ Candidate:\ [^\(] ]]
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        DEBIAN_FRONTEND=noninteractive "$@"
    elif command -v sudo >/dev/null; then
        sudo DEBIAN_FRONTEND=noninteractive "$@"
    else
        fail "not root, and no sudo; run as root: $*"
    fi
}

if ! command -v cargo >/dev/null; then
    fail "no Rust toolchain: install one (1.88 or newer, with rustfmt and clippy) from https://rustup.rs"
fi
if ! command -v rustfmt >/dev/null; then
    # It formats the generated part of the BPF programs' Rust side.
    fail "no rustfmt: rustup component add rustfmt clippy"
fi
if ! command -v apt-get >/dev/null; then
    for tool in cc make pkg-config qemu-system-x86_64; do
        command -v $tool >/dev/null || fail "no $tool, and no apt-get to install it with"
    done
    exit 0
fi

# dpkg-deb, apt-cache and ldd are there wherever apt-get is. git: the lint asks it for the files.
wanted=(gcc libc6-dev make pkg-config libelf-dev zlib1g-dev libbpf-dev qemu-system-x86 xz-utils zstd git)
missing=()
for package in "${wanted[@]}"; do
    installed "$package" || missing+=("$package")
done

# Package lists are needed for what is missing, and for the kernels of the test machines.
if [ -z "$(find /var/lib/apt/lists -name '*_Packages*' -print -quit 2>/dev/null)" ] ||
    { [ ${#missing[@]} -gt 0 ] && ! apt-cache show "${missing[0]}" >/dev/null 2>&1; }; then
    as_root apt-get -qq update
fi

# BPF code is compiled by a pinned major of clang; the next older one where there is none.
clang=
for version in 19 18 17 16 15; do
    if installed "clang-$version"; then
        clang=
        break
    elif offered "clang-$version"; then
        clang=clang-$version
        break
    fi
    clang=clang
done
[ -z "$clang" ] || missing+=("$clang")

# Debian has bpftool in a package of its own, Ubuntu in one for all kernels or in one for each.
if ! [ -x /usr/sbin/bpftool ]; then
    for package in bpftool linux-tools-generic; do
        if offered "$package"; then
            missing+=("$package")
            break
        fi
    done
fi

if [ ${#missing[@]} -gt 0 ]; then
    echo "install-deps: installing ${missing[*]}"
    as_root apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null ||
        fail "apt-get install failed; if the package lists are old: apt-get update, then again"
fi
