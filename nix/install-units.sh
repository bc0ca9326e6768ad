# The units of a Nix package, with its paths. Sourced by the package's build and by nix/check.
# shellcheck shell=bash
#
#   install_units ROOT OUT             the director's, and its bus policy
#   install_appliance_units ROOT OUT   those of machines that learn at boot which host they are
#
# ROOT is the source tree. Left out: fairway-nftables.service (NixOS loads the rules with networking.nftables.tables),
# fairway-gue.service (the module has its own, for real servers have no package) and the sysusers file (the module
# declares the user).
install_units() {
    local units=$1/director/daemon/systemd out=$2
    mkdir -p "$out/share/dbus-1/system.d"
    cp "$units/org.fairway.Director1.conf" "$out/share/dbus-1/system.d/"
    install_with_paths "$out" "$units"/{fairway-director.service,fairway-release.service,fairway-metrics.socket,fairway-metrics@.service}
}

install_appliance_units() {
    local units=$1/images/provision/systemd out=$2
    install_with_paths "$out" "$units"/{fairway-provision.service,fairway-lease.service,fairway-lease.path,fairway-console@.service}
}

install_with_paths() {
    local out=$1 unit
    shift
    mkdir -p "$out/lib/systemd/system"
    for unit in "$@"; do
        sed "s,/usr/bin/,$out/bin/,g" "$unit" >"$out/lib/systemd/system/${unit##*/}"
    done
    if grep -rn '/usr/\|/bin/sh' "$out/lib/systemd/system"; then
        echo "install-units.sh: these paths are not there on NixOS" >&2
        return 1
    fi
}
