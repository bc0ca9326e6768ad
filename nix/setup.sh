# Sourced by ./test after vm-tests/setup.sh: brings the tools of nix/check, in fixed versions.
# shellcheck shell=bash

# Crates. Their lock files are used, so these are builds that their authors tested.
NIXFMT=nixfmt_rs@0.5.3
DEADNIX=deadnix@1.3.1

need_nix_tools() {
    local tools crate
    tools=$(realpath -m "${CARGO_TARGET_DIR:-target}/nix-tools")
    need_packages git nix-bin nftables python3-venv shellcheck || return 1
    if ! cmp -s nix/requirements.txt "$tools/requirements.txt"; then
        say "installing with pip, in $tools: $(grep -v '^#' nix/requirements.txt | tr '\n' ' ')"
        mkdir -p "$tools"
        python3 -m venv "$tools/venv" || return 1
        "$tools/venv/bin/pip" install --quiet --disable-pip-version-check --requirement nix/requirements.txt || return 1
        cp nix/requirements.txt "$tools/requirements.txt"
    fi
    # Does nothing where the version is there. Unoptimised: they take longer to build than they ever run.
    for crate in "$NIXFMT" "$DEADNIX"; do
        CARGO_TARGET_DIR=$tools/build cargo install --quiet --locked --debug --root "$tools" "$crate" || return 1
    done
    PATH=$tools/bin:$tools/venv/bin:$PATH
}
