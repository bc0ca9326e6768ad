# Sourced by ./demo and ./test: brings what they need on a fresh Debian or Ubuntu machine, and says so first.
# shellcheck shell=bash

# Where the project is, from wherever this is called.
project=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")

say() { printf '\n== %s\n' "$*"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# The packages among those named that are not installed.
missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || echo "$package"
    done
}

known_to_apt() { [ -n "$(apt-cache show "$1" 2>/dev/null)" ]; }

# need_packages PACKAGE...: installs what is missing.
need_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing with apt: ${missing[*]}"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# For building, and for the guest: its tools are copies of this machine's.
need_vm_packages() {
    need_packages gcc libc6-dev binutils python3 qemu-system-x86 busybox-static kmod iproute2 nftables ipvsadm \
        keepalived tcpdump curl ca-certificates dbus systemd procps util-linux coreutils findutils
    # The guest's kernel is downloaded, not installed; apt must know where from.
    if ! known_to_apt linux-image-cloud-amd64 && ! known_to_apt linux-image-virtual; then
        say "apt-get update, to find the guest's kernel package"
        as_root apt-get update -q
    fi
}

# For interop in namespaces: other people's routers, tshark to decode packets, and servers for the checks to meet. Their
# packages start daemons where the machine has an init system to do so: they are told not to (policy-rc.d, see
# invoke-rc.d(8)), unless somebody else has said what may start.
need_interop_packages() (
    policy=/usr/sbin/policy-rc.d
    packages=(frr tshark nginx-light haproxy exim4-daemon-light dnsmasq-base redis-server slapd mariadb-server-core openssl postgresql
        python3-grpcio)
    if [ -n "$(missing_packages "${packages[@]}")" ] && [ ! -e $policy ]; then
        trap 'as_root rm -f $policy' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod 755 $policy
    fi
    need_packages "${packages[@]}"
)

# For building the appliance; the rest comes with the tools that images/build unpacks.
need_image_packages() { need_packages mmdebstrap debian-archive-keyring python3 binutils ca-certificates; }

# For whole guests: their firmware, and the switches between them.
need_guests_packages() {
    need_image_packages && need_packages qemu-system-x86 ovmf vde2 busybox-static iproute2 curl openssh-client util-linux
}

# A rustc at least as new as Cargo.toml's rust-version, by rustup where there is none.
need_rust() {
    local wanted
    wanted=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' "$project/Cargo.toml")
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    rust_is_at_least "$wanted" && return 0
    if ! command -v rustup >/dev/null; then
        if known_to_apt rustup; then
            say "no rustc of at least $wanted: installing the package rustup"
            need_packages rustup
        else
            say "no rustc of at least $wanted: installing rustup for $(id -un) with the official installer"
            curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --no-modify-path --default-toolchain none
        fi
        hash -r
    fi
    say "installing the stable Rust toolchain with rustup"
    rustup toolchain install stable --profile minimal --component rustfmt --component clippy
    export RUSTUP_TOOLCHAIN=stable
    rust_is_at_least "$wanted" || { echo "rustc is still older than $wanted" >&2; return 1; }
}

rust_is_at_least() {
    local have
    command -v cargo >/dev/null || return 1
    have=$(rustc --version 2>/dev/null | cut -d' ' -f2) || return 1
    [ -n "$have" ] && [ "$(printf '%s\n%s\n' "$1" "${have%%-*}" | sort -V | head -1)" = "$1" ]
}
