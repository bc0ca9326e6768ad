{ cluster, ... }:
cluster {
  topology = ./topologies/guests-nat.toml;
}
