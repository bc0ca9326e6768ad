# nixosConfigurations of the example cluster: gen/examples/direct.toml on virtual machines.
{ lib, fairway }:
fairway.fromTopology {
  topology = ../../gen/examples/direct.toml;
  modules = [ ./machine.nix ];
  perHost = host: lib.optional (lib.hasPrefix "web" host) ./web.nix;
}
