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
    imports = [ (directory + "/${name}.nix") ];
    _module.args.cluster = import ./vm-cluster.nix { inherit lib nixosModules; };
    inherit name;
    globalTimeout = 900;
    testScript = builtins.readFile (directory + "/scripts/${name}.py");
  }
)
