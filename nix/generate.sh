# The files of one host, for the NixOS module; run by Nix as a builder, and by nix/check without Nix.
#
# From the environment:
#   generator, director   the programs; an empty director skips its check of director.toml
#   topology, host        what fairway-gen is given
#   settings              a JSON file with keys that replace those of director.toml, or empty
#   merge                 the program that puts them in
#   sysctls               a file with the lines `key = value` of boot.kernel.sysctl
#   nftables              1 where NixOS loads the rules, or empty
#   out                   the directory to make: etc/..., and nixos-fw/ with what NixOS' own firewall must let in
# shellcheck shell=bash disable=SC2154
set -euo pipefail

refuse() {
    printf '\nservices.fairway: %s\n' "$1" >&2
    exit 1
}

# Problems of the topology end the build here, in fairway-gen's words.
"$generator" host "$topology" "$host" --out "$out" >/dev/null

# The module links these directories into /etc, and nothing else.
places="fairway modules-load.d nftables.d sysctl.d systemd/network systemd/networkd.conf.d"
while read -r file; do
    case " $places " in
    *" $(dirname "$file") "*) ;;
    *) refuse "fairway-gen wrote /etc/$file, for which the module has no place: the module and services.fairway.package are of different releases" ;;
    esac
done < <(cd "$out/etc" && find . -type f -printf '%P\n')

# A host in the topology always has sysctls; the other directories need a file to be linked.
for place in modules-load.d systemd/network systemd/networkd.conf.d; do
    mkdir -p "$out/etc/$place"
    if [ -z "$(ls "$out/etc/$place")" ]; then
        echo "The topology has nothing to say here for $host." >"$out/etc/$place/README.fairway"
    fi
done

# ---- sysctls: two definitions of one key would leave the choice to the order of file names

sed -n 's/^-\{0,1\}\([^#= ]*\) *= *\(.*\)$/\1 \2/p' "$out/etc/sysctl.d/60-fairway.conf" | tr / . >ours
sed 's/ *= */ /' "$sysctls" | tr / . >theirs
clashes=$(awk '
    NR == FNR { key = $1; sub(/^[^ ]+ /, ""); ours[key] = $0; next }
    { key = $1; sub(/^[^ ]+ /, "") }
    (key in ours) && ours[key] != $0 { printf "  %s: boot.kernel.sysctl has %s, the topology needs %s\n", key, $0, ours[key] }
' ours theirs)
if [ -n "$clashes" ]; then
    refuse "sysctls that clash on $host:
$clashes
Take them out of boot.kernel.sysctl (boot.kernel.sysctl.\"KEY\" = lib.mkForce null where another module sets them)."
fi

# ---- director.toml

config=$out/etc/fairway/director.toml
if [ -e "$config" ]; then
    if [ -n "$settings" ]; then
        "$merge" "$config" "$settings"
    fi
    # Where key files are named, the director reads them when it checks; here they are not.
    if [ -n "$director" ] && ! grep -q 'key-file' "$config"; then
        "$director" check --config "$config" >/dev/null || refuse "the director refuses the configuration of $host (see above)"
    fi
elif [ -n "$settings" ]; then
    refuse "services.fairway.settings is set, but $host is not a director: no failover group and no service names it as one"
fi

# ---- what NixOS' own firewall must let in, which drops by default whatever table inet fairway accepts

rules=$out/etc/nftables.d/fairway.inner.nft
mkdir "$out/nixos-fw"
# Sets, which are visible in their own table only.
awk '/^set / { inside = 1 } inside { print } /^}/ { inside = 0 }' "$rules" >"$out/nixos-fw/sets.nft"
# The accepting rules of a chain.
accepting() {
    awk -v start="chain $1 {" '$0 == start { inside = 1; next } /^}/ { inside = 0 } inside && /^\t[^#].* accept$/ { print }' "$rules"
}
accepting input >"$out/nixos-fw/input.nft"
accepting forward >"$out/nixos-fw/forward.nft"

if [ -z "$nftables" ] && grep -q '^chain ' "$rules"; then
    refuse "$host needs the packet filter rules of $rules, and networking.nftables.enable is false; set it to true"
fi
