# What working on Fairway needs, and the tools of ./test.
{ pkgs }:
pkgs.mkShell {
  packages = with pkgs; [
    cargo
    clippy
    rustc
    rustfmt
    cargo-nextest
    deadnix
    dbus
    ipvsadm
    iproute2
    keepalived
    nftables
    nixfmt
    python3
    qemu
    ruff
    shellcheck
    tcpdump
    ty
  ];
}
