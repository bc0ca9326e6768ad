{ lib, cluster, ... }:
let
  topology = lib.importTOML ./topologies/guests-direct.toml;
in
cluster {
  topology = lib.recursiveUpdate topology { failover.edge.preempt = false; };
}
