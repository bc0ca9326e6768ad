# lb2 runs services.keepalived instead, with the numbers that docs/how-to/beside-keepalived.md asks for.
{ cluster, lib, ... }:
let
  topology = lib.recursiveUpdate (lib.importTOML ./topologies/guests-direct.toml) {
    failover.edge = {
      vrid = 51;
      checksum = "rfc5798";
      directors = {
        lb1 = 200;
        lb2 = 100;
      };
    };
  };
in
cluster {
  inherit topology;
  nodes.lb2 = {
    services.fairway.enable = false;
    networking.nftables.enable = true;
    networking.useNetworkd = true;
    services.keepalived = {
      enable = true;
      openFirewall = true;
      extraGlobalDefs = "vrrp_version 3";
      vrrpInstances.edge = {
        interface = "eth1";
        state = "BACKUP";
        priority = 100;
        virtualRouterId = 51;
        virtualIps = [ { addr = "192.168.1.100/32"; } ];
        extraConfig = "advert_int 1";
      };
    };
  };
}
