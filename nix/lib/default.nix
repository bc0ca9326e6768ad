# Functions for flakes that describe a cluster.
{
  lib,
  module,
  # Evaluates a configuration: nixpkgs.lib.nixosSystem.
  nixosSystem,
}:
let
  facts = topology: import ./facts.nix { inherit lib; } (read topology);
  read = topology: if lib.isAttrs topology then topology else lib.importTOML topology;
in
{
  # The hosts of a topology: { lb1 = { director = true; realServer = false; }; ... }.
  hosts =
    topology:
    let
      known = facts topology;
    in
    lib.genAttrs known.hosts (host: {
      director = known.isDirector host;
      realServer = known.isRealServer host;
    });

  # nixosConfigurations for all hosts of a topology, or for those in `only`.
  #
  #   fairway.lib.fromTopology {
  #     topology = ./topology.toml;
  #     modules = [ ./common.nix ];             # for every host
  #     perHost = host: [ ./hosts/${host}.nix ]; # for one
  #   }
  fromTopology =
    {
      topology,
      modules ? [ ],
      perHost ? (_: [ ]),
      specialArgs ? { },
      only ? (facts topology).hosts,
    }:
    lib.genAttrs only (
      host:
      nixosSystem {
        inherit specialArgs;
        modules = [
          module
          {
            networking.hostName = lib.mkDefault host;
            services.fairway = {
              enable = true;
              inherit topology host;
            };
          }
        ]
        ++ modules
        ++ perHost host;
      }
    );
}
