# The nodes of a VM test: the hosts of a topology and a client. A test makes a module of pkgs.testers.runNixOSTest:
#
#   { cluster, ... }:
#   cluster { topology = ./topologies/guests-direct.toml; }
#
# The driver gives the node at place n (by name: client, lb1, lb2, web1, web2) the address 192.168.<vlan>.<n>, and
# the topologies have the same addresses, so that nothing is configured twice.
{ lib, nixosModules }:
{
  topology,
  # More for one node: { lb1 = { ... }; }.
  nodes ? { },
  # Addresses beside those of the driver, by node: IPv6.
  client ? { },
}:
let
  read = if lib.isAttrs topology then topology else lib.importTOML topology;
  facts = import ./lib/facts.nix { inherit lib; } read;
  vlans = {
    outside = 1;
    inside = 2;
  };
  # The topology's addresses, not the driver's.
  withoutOthers =
    name:
    { config, ... }:
    {
      networking.interfaces = lib.mkIf config.services.fairway.enable (
        lib.genAttrs (facts.managedInterfaces name) (_: {
          ipv4.addresses = lib.mkForce [ ];
          ipv6.addresses = lib.mkForce [ ];
        })
      );
    };
  host = name: {
    imports = [
      nixosModules.default
      (withoutOthers name)
    ]
    ++ lib.optional (facts.isRealServer name) ./example/web.nix
    ++ lib.optional (nodes ? ${name}) nodes.${name};
    services.fairway = {
      enable = lib.mkDefault true;
      topology = lib.mkDefault topology;
    };
    virtualisation.vlans = map (interface: vlans.${interface.network}) (
      lib.attrValues read.hosts.${name}.interfaces
    );
  };
in
{
  defaults =
    { pkgs, ... }:
    {
      environment.systemPackages = with pkgs; [
        curl
        jq
        ipvsadm
        iproute2
      ];
      # One processor and little memory: what is emulated is slow enough.
      virtualisation.memorySize = 512;
    };

  nodes = lib.genAttrs facts.hosts host // {
    client = {
      imports = [ client ];
      networking.useNetworkd = true;
      virtualisation.vlans = [ vlans.outside ];
    };
  };
}
