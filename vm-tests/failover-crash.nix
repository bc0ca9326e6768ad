{ cluster, ... }:
cluster {
  topology = ./topologies/guests-direct.toml;
}
