# Fairway without flakes:
#
#   (import ./fairway { }).packages.fairway
#   imports = [ (import ./fairway { inherit pkgs; }).nixosModules.default ];
{
  pkgs ? import <nixpkgs> { },
}:
let
  inherit (pkgs) lib;
  # Not through the overlay, so that nothing else is evaluated again.
  own = import ./nix/overlay.nix (pkgs // own) pkgs;
  nixosModules = import ./nix/modules;
  fairwayLib = import ./nix/lib {
    inherit lib;
    module = nixosModules.default;
    nixosSystem = import (pkgs.path + "/nixos/lib/eval-config.nix");
  };
  optionsDocument = import ./nix/options-document.nix { inherit pkgs; };
  images = import ./nix/images { inherit pkgs; };
  makeTests = _: import ./nix/vm-tests.nix { inherit pkgs nixosModules; };
  tests = makeTests null;

  # A derivation without what it was evaluated from. `nix flake check` holds on to every check until its end, and
  # with all their machines the VM tests took 24 GB of memory. Whatever is not evaluated here would keep them, too.
  outputs = [ "out" ];
  bare =
    derivation:
    let
      inherit (derivation)
        name
        system
        drvPath
        outPath
        ;
    in
    builtins.seq name (
      builtins.seq system (
        builtins.seq drvPath (
          builtins.seq outPath {
            type = "derivation";
            outputName = "out";
            inherit
              name
              system
              drvPath
              outPath
              outputs
              ;
          }
        )
      )
    );
in
{
  packages = {
    default = own.fairway;
    inherit (own)
      fairway
      fairway-gen
      fairway-director
      fairway-static
      ;
    options-document = pkgs.writeText "nixos-options.md" optionsDocument;
  }
  // lib.mapAttrs' (name: lib.nameValuePair "image-${name}") images;

  inherit images nixosModules;
  # By name: derivations of pkgs.testers.runNixOSTest.
  vmTests = tests;
  lib = fairwayLib;
  overlays.default = import ./nix/overlay.nix;

  checks = {
    package = own.fairway;
    options-document =
      pkgs.runCommand "options-document-is-current" { }
        "diff -u ${./docs/reference/nixos-options.md} ${pkgs.writeText "nixos-options.md" optionsDocument} && touch $out";
  }
  // lib.mapAttrs' (
    name: _:
    # Not the test in `vmTests`, which would keep it.
    lib.nameValuePair "vm-${name}" (bare (makeTests null).${name})
  ) tests;

  devShells.default = import ./nix/dev-shell.nix { inherit pkgs; };
  formatter = pkgs.nixfmt-tree;
}
