# install_units SOURCE OUT: the director's units and bus policy, with the paths of a Nix package. Sourced by the
# package's build and by nix/check.
# shellcheck shell=bash
#
# Left out: fairway-nftables.service (NixOS loads the rules with networking.nftables.tables), fairway-gue.service (the
# module has its own, for real servers have no package) and the sysusers file (the module declares the user).
install_units() {
    local source=$1 out=$2 unit
    mkdir -p "$out/lib/systemd/system" "$out/share/dbus-1/system.d"
    for unit in fairway-director.service fairway-release.service fairway-metrics.socket fairway-metrics@.service; do
        sed "s,/usr/bin/,$out/bin/,g" "$source/$unit" >"$out/lib/systemd/system/$unit"
    done
    cp "$source/org.fairway.Director1.conf" "$out/share/dbus-1/system.d/"
    if grep -rn '/usr/\|/bin/sh' "$out/lib/systemd/system"; then
        echo "install-units.sh: these paths are not there on NixOS" >&2
        return 1
    fi
}
