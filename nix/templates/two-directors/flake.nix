{
  description = "A cluster of two Fairway directors and two web servers";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    # Where you have Fairway: a path, or a git or GitHub reference.
    fairway.url = "path:/path/to/fairway";
    fairway.inputs.nixpkgs.follows = "nixpkgs";
  };

  outputs =
    { nixpkgs, fairway, ... }:
    {
      # One configuration for each host of the topology:
      #   nixos-rebuild switch --flake .#lb1 --target-host root@lb1
      nixosConfigurations = fairway.lib.fromTopology {
        topology = ./topology.toml;
        modules = [ ./common.nix ];
        perHost = host: nixpkgs.lib.optional (nixpkgs.lib.hasPrefix "web" host) ./web.nix;
      };
    };
}
