{ cluster, ... }:
cluster {
  topology = ./topologies/guests-ipv6.toml;

  client.networking.interfaces.eth1.ipv6.addresses = [
    {
      address = "fd00:1::1";
      prefixLength = 64;
    }
  ];
}
