{ cluster, lib, ... }:
cluster {
  topology = ./topologies/guests-direct.toml;

  nodes.lb1.specialisation.heavier.configuration = {
    services.fairway.topology = lib.mkForce (
      lib.recursiveUpdate (lib.importTOML ./topologies/guests-direct.toml) {
        services.web.real-servers.web1.weight = 3;
      }
    );
  };
}
