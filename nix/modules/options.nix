# The options of services.fairway; docs/reference/nixos-options.md is made of them.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
in
{
  options.services.fairway = {
    enable = lib.mkEnableOption "this host's part of a Fairway cluster: director, real server or both, as the topology says";

    package = mkOption {
      type = types.package;
      default = pkgs.fairway or (pkgs.callPackage ../package.nix { });
      defaultText = lib.literalMD "`pkgs.fairway` where the overlay is used, else this release built with the system's nixpkgs";
      description = "The package with the director, fairwayctl and their units.";
    };

    generatorPackage = mkOption {
      type = types.package;
      default = pkgs.buildPackages.fairway or (pkgs.buildPackages.callPackage ../package.nix { });
      defaultText = lib.literalMD "like `package`, for the machine that builds";
      description = ''
        The package whose `fairway-gen` makes the host's files, and whose `fairway-director` checks them. It runs while the system
        is built, and is of the same release as `package`.
      '';
    };

    topology = mkOption {
      type = types.either types.path (pkgs.formats.toml { }).type;
      example = lib.literalExpression "./topology.toml";
      description = ''
        The cluster's topology: a file of this configuration, or its content as attributes. The same for all hosts of the
        cluster. It cannot be the output of a derivation, because evaluation reads it.
      '';
    };

    host = mkOption {
      type = types.str;
      default = config.networking.hostName;
      defaultText = lib.literalExpression "config.networking.hostName";
      description = "Which host of the topology this machine is.";
    };

    mustBe = mkOption {
      type = types.enum [
        "director"
        "real-server"
        null
      ];
      default = null;
      description = ''
        What this host must be, or the evaluation fails; `nixosModules.director` and `nixosModules.real-server` set it. What it is
        follows from the topology.
      '';
    };

    openFirewall = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether NixOS' firewall lets in what the topology says: on directors adverts of the other directors and the services of the
        virtual IPs, on real servers the ports of their services, and the directors' tunnels. Without it a director takes over because it hears no other.
      '';
    };

    secrets = mkOption {
      type = types.attrsOf types.str;
      default = { };
      example = lib.literalExpression "{ edge = config.age.secrets.edge.path; }";
      description = ''
        Files with passwords and keys, at run time: `secrets.NAME` is what the topology calls
        `key-file = "/etc/fairway/secrets/NAME"`. They reach the director as systemd credentials, so root alone needs to be able
        to read them. After a change, restart fairway-director.
      '';
    };

    metrics = {
      enable = lib.mkEnableOption "the director's metrics for Prometheus over HTTP, at /metrics: a socket, and a process for each scrape";

      listenAddress = mkOption {
        type = types.str;
        default = "127.0.0.1";
        example = "[::]";
        description = "The address to listen on, IPv6 in brackets. It need not be there yet.";
      };

      port = mkOption {
        type = types.port;
        default = 9798;
        description = "The port to listen on.";
      };

      openFirewall = mkOption {
        type = types.bool;
        default = false;
        description = "Whether NixOS' firewall lets everybody in who asks there. What is shown is what `fairwayctl status` shows.";
      };
    };

    settings = mkOption {
      type = types.attrsOf (pkgs.formats.json { }).type;
      default = { };
      example = {
        service.web.scheduler = "wrr";
      };
      description = ''
        Keys of this director's `director.toml` to set besides or instead of what the topology gives, for what the topology cannot
        say. Tables are merged, lists of named tables (`failover`, `service`) by name, and null takes a key away. The result is
        checked when the system is built.
      '';
    };

    role = {
      director = mkOption {
        type = types.bool;
        readOnly = true;
        description = "Whether the topology names this host as director.";
      };
      realServer = mkOption {
        type = types.bool;
        readOnly = true;
        description = "Whether the topology names this host as real server.";
      };
    };

    files = mkOption {
      type = types.package;
      readOnly = true;
      description = "The derivation with the host's files: `etc/` as `fairway-gen` writes it.";
    };
  };
}
