# The tests of vm-tests/*.nix, by name.
{ pkgs, nixosModules }:
let
  inherit (pkgs) lib;
  directory = ../vm-tests;
  names = map (lib.removeSuffix ".nix") (
    lib.filter (lib.hasSuffix ".nix") (lib.attrNames (builtins.readDir directory))
  );
in
lib.genAttrs names (
  name:
  pkgs.testers.runNixOSTest {
    imports = [
      (import (directory + "/${name}.nix") {
        inherit lib;
        cluster = import ./vm-cluster.nix { inherit lib nixosModules; };
      })
    ];
    inherit name;
    globalTimeout = 900;
    testScript =
      builtins.readFile (directory + "/scripts/common.py")
      + builtins.readFile (directory + "/scripts/${name}.py");
  }
)
