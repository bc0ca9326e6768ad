{ cluster, ... }:
cluster {
  topology = ./topologies/guests-tunnel.toml;
}
