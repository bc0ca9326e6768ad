# Configurations that must be refused, each with words that the message must have: the option and the remedy.
{ lib, pkgs }:
let
  direct = ../gen/examples/direct.toml;
  lb1 = more: {
    imports = [ more ];
    networking.hostName = lib.mkDefault "lb1";
    services.fairway.topology = lib.mkDefault direct;
  };
  web1 = more: {
    imports = [ (lb1 more) ];
    networking.hostName = "web1";
  };
  password = more: {
    imports = [ (lb1 more) ];
    services.fairway.topology = lib.recursiveUpdate (lib.importTOML direct) {
      failover.edge = {
        version = 2;
        advert-interval = "1s";
        auth.pass.key-file = "/etc/fairway/secrets/edge";
      };
    };
  };
in
{
  unknown-host = {
    configuration = lb1 { networking.hostName = "lb9"; };
    expected = [
      ''services.fairway.host is "lb9"''
      "it has lb1, lb2, web1, web2"
      "Set services.fairway.host"
    ];
  };
  topology-is-derivation = {
    configuration = lb1 { services.fairway.topology = pkgs.writeText "topology.toml" "version = 1"; };
    expected = [
      "services.fairway.topology is the output of a derivation"
      "such as ./topology.toml"
    ];
  };
  topology-in-derivation = {
    configuration = lb1 {
      services.fairway.topology = "${pkgs.writeTextDir "topology.toml" ""}/topology.toml";
    };
    expected = [ "services.fairway.topology is the output of a derivation" ];
  };
  topology-missing = {
    configuration = lb1 { services.fairway.topology = ./nowhere.toml; };
    expected = [
      "services.fairway.topology: there is no file"
      "git add"
    ];
  };
  scripted-networking = {
    configuration = lb1 { networking.useNetworkd = false; };
    expected = [
      "needs systemd-networkd"
      "Set networking.useNetworkd = true"
    ];
  };
  iptables = {
    configuration = lb1 { networking.nftables.enable = false; };
    expected = [ "Set networking.nftables.enable = true" ];
  };
  keepalived = {
    configuration = lb1 { services.keepalived.enable = true; };
    expected = [
      "services.keepalived would both own"
      "Disable services.keepalived"
    ];
  };
  not-a-director = {
    configuration = web1 { services.fairway.mustBe = "director"; };
    expected = [
      ''nixosModules.director is used on "web1", which is no director''
      "Use nixosModules.default"
    ];
  };
  not-a-real-server = {
    configuration = lb1 { services.fairway.mustBe = "real-server"; };
    expected = [ ''nixosModules.real-server is used on "lb1", which is no real server'' ];
  };
  metrics-of-a-real-server = {
    configuration = web1 { services.fairway.metrics.enable = true; };
    expected = [
      ''services.fairway.metrics is enabled on "web1", which is no director''
      "Enable it on lb1, lb2"
    ];
  };
  missing-secret = {
    configuration = password { };
    expected = [
      "services.fairway.secrets lacks edge"
      "config.age.secrets.<name>.path"
    ];
  };
  unused-secret = {
    configuration = lb1 { services.fairway.secrets.edge = "/run/agenix/edge"; };
    expected = [
      "services.fairway.secrets has edge"
      "Take it out"
    ];
  };
  secret-in-store = {
    configuration = password { services.fairway.secrets.edge = "${pkgs.writeText "edge" "secret"}"; };
    expected = [ "services.fairway.secrets.edge is in the Nix store" ];
  };
  static-virtual-ip = {
    configuration = lb1 {
      networking.interfaces.eth0.ipv4.addresses = [
        {
          address = "10.0.0.100";
          prefixLength = 24;
        }
      ];
    };
    expected = [
      "networking.interfaces.eth0 has 10.0.0.100, which is a virtual IP"
      "Take it out of networking.interfaces.eth0"
    ];
  };
  static-virtual-ip-networkd = {
    configuration = lb1 { systemd.network.networks."10-lan".address = [ "10.0.0.100/24" ]; };
    expected = [ "systemd.network.networks.10-lan has 10.0.0.100, which is a virtual IP" ];
  };
  tunnel-reverse-path = {
    configuration = web1 {
      services.fairway.topology = lib.recursiveUpdate (lib.importTOML direct) {
        services.web.forward = "tunnel";
      };
      networking.firewall.checkReversePath = "strict";
    };
    expected = [
      "networking.firewall.checkReversePath is strict on the tunnel real server"
      ''Set networking.firewall.checkReversePath = "loose"''
    ];
  };
}
