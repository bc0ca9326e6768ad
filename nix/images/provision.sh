# Makes the machine what its topology says, before anything reads the files: run at boot by fairway-provision.service.
#
# The topology comes from the systemd credential `fairway.topology`, or else from `topology.toml` on a file system
# labelled FAIRWAY. Which host this is: the credential `fairway.host`, a file `host` there, or the host name.
#
# From the environment: CREDENTIALS_DIRECTORY; RUN, where /run is; MEDIUM, a directory that stands for the mounted file system.
# shellcheck shell=bash
set -euo pipefail

run=${RUN:-/run}
mkdir -p "$run/fairway"

fail() {
    echo "fairway-provision: $1" >&2
    exit 1
}

medium=${MEDIUM:-}
if [ -z "$medium" ] && [ ! -e "${CREDENTIALS_DIRECTORY:-/nonexistent}/fairway.topology" ]; then
    device=/dev/disk/by-label/FAIRWAY
    # Running out of time means that there is no medium; the next line sees to that.
    udevadm settle --timeout=30 --exit-if-exists="$device" || true
    if [ -e "$device" ]; then
        medium=$run/fairway/medium
        mkdir -p "$medium"
        mount -o ro,nosuid,nodev,noexec "$device" "$medium"
        trap 'umount "$medium"' EXIT
    fi
fi

# take NAME FILE: the credential, or the file of the medium; fails if there is neither.
take() {
    local credential=${CREDENTIALS_DIRECTORY:-/nonexistent}/$1
    if [ -e "$credential" ]; then
        cat "$credential"
    elif [ -n "$medium" ] && [ -e "$medium/$2" ]; then
        cat "$medium/$2"
    else
        return 1
    fi
}

take fairway.topology topology.toml >"$run/fairway/topology.toml" ||
    fail "no topology: give the credential fairway.topology, or a file system labelled FAIRWAY with topology.toml"
host=$(take fairway.host host || uname -n)

# Refused topologies leave the machine without a role, and the messages in the journal.
rm -rf "$run/fairway/files"
fairway-gen host "$run/fairway/topology.toml" "$host" --out "$run/fairway/files" || fail "the topology is refused for host $host (see above)"

for place in modules-load.d sysctl.d systemd/network systemd/networkd.conf.d; do
    [ -d "$run/fairway/files/etc/$place" ] || continue
    mkdir -p "$run/$place"
    for file in "$run/fairway/files/etc/$place"/*; do
        ln -sfn "$file" "$run/$place/"
    done
done

# Key files that the topology names below /etc/fairway/secrets, which is a link to here.
mkdir -p "$run/fairway/secrets"
chmod 0750 "$run/fairway/secrets"
if [ "$(id -u)" = 0 ] && getent group fairway >/dev/null; then chgrp fairway "$run/fairway/secrets"; fi
for secret in "${CREDENTIALS_DIRECTORY:-/nonexistent}"/fairway.secret.* "${medium:-/nonexistent}"/secrets/*; do
    [ -e "$secret" ] || continue
    name=${secret##*/}
    install -m 0440 "$secret" "$run/fairway/secrets/${name#fairway.secret.}"
    if [ "$(id -u)" = 0 ] && getent group fairway >/dev/null; then chgrp fairway "$run/fairway/secrets/${name#fairway.secret.}"; fi
done
echo "fairway-provision: this is $host"
