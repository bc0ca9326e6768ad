{ cluster, ... }:
cluster {
  topology = ./topologies/guests-no-preemption.toml;
}
