# What nix/check looks at where a nixpkgs is at hand. Nothing here is built.
let
  pkgs = import <nixpkgs> { };
  inherit (pkgs) lib;
  project = import ../. { inherit pkgs; };
  module = project.nixosModules.default;

  evaluate =
    modules:
    import (pkgs.path + "/nixos/lib/eval-config.nix") {
      system = null;
      modules = [
        module
        ./example/machine.nix
        { services.fairway.enable = true; }
      ]
      ++ modules;
    };

  refused = config: map (a: a.message) (lib.filter (a: !a.assertion) config.assertions);

  # A host's part of a topology, its derivation's path written as @files@.
  host =
    {
      topology,
      name,
      modules ? [ ],
    }:
    let
      inherit
        (evaluate (
          [
            {
              networking.hostName = name;
              services.fairway = {
                inherit topology;
                # Every key file that the topology names, as if agenix had put it there.
                secrets = lib.listToAttrs (
                  map (file: lib.nameValuePair (baseNameOf file) "/run/agenix/${baseNameOf file}") (
                    lib.filter (lib.hasPrefix "/etc/fairway/secrets/") (
                      (import ./lib/facts.nix { inherit lib; } (lib.importTOML topology)).keyFilesOf name
                    )
                  )
                );
              };
            }
          ]
          ++ modules
        ))
        config
        ;
      files = config.services.fairway.files;
      relative = text: lib.replaceStrings [ (toString files) ] [ "@files@" ] "${text}";
      entries = map (entry: {
        inherit (entry) target;
        source = relative entry.source;
      }) (lib.attrValues config.environment.etc);
      table = name: relative (config.networking.nftables.tables.${name}.content or "");
    in
    {
      refused = refused config;
      inherit (config) warnings;
      inherit (config.services.fairway.role) director realServer;
      builder = {
        script = files.buildCommand;
        topology = builtins.readFile files.topology;
        sysctls = files.sysctls.text;
        inherit (files) host nftables;
      };
      etc = lib.filter (entry: lib.hasPrefix "@files@" entry.source) entries;
      tables = {
        fairway = table "fairway";
        nixos-fw = table "nixos-fw";
      };
      flushRuleset = config.networking.nftables.flushRuleset;
      units = lib.genAttrs [
        "fairway-director.service"
        "systemd-sysctl.service"
        "systemd-networkd.service"
      ] (unit: relative (config.systemd.units.${unit}.text or ""));
    };
in
{
  hosts =
    { topology }:
    lib.mapAttrs (name: _: host { inherit topology name; }) (project.lib.hosts topology);

  # With forwarding filtered too, which brings a chain more.
  filtered =
    { topology, name }:
    host {
      inherit topology name;
      modules = [ { networking.firewall.filterForward = true; } ];
    };

  metrics =
    { topology, name }:
    let
      inherit
        (evaluate [
          {
            networking.hostName = name;
            services.fairway = {
              inherit topology;
              metrics = {
                enable = true;
                listenAddress = "[::]";
                openFirewall = true;
              };
            };
          }
        ])
        config
        ;
    in
    {
      refused = refused config;
      socket = config.systemd.units."fairway-metrics.socket".text;
      wantedBy = config.systemd.sockets.fairway-metrics.wantedBy;
      ports = config.networking.firewall.allowedTCPPorts;
    };

  bad = lib.mapAttrs (_: case: {
    refused = refused (evaluate [ case.configuration ]).config;
    inherit (case) expected;
  }) (import ./bad-configurations.nix { inherit lib pkgs; });

  optionsDocument = import ./options-document.nix { inherit pkgs; };

  toplevels = lib.mapAttrs (_: system: system.config.system.build.toplevel.drvPath) (
    import ./example {
      inherit lib;
      fairway = project.lib;
    }
  );
  # The template's flake, as `nix flake init` leaves it.
  template = lib.mapAttrs (_: system: system.config.system.build.toplevel.drvPath) (
    ((import ./templates/two-directors/flake.nix).outputs {
      nixpkgs = { inherit lib; };
      fairway = project;
    }).nixosConfigurations
  );

  tests = lib.mapAttrs (_: test: {
    driver = test.driver.drvPath;
    script = test.config.testScriptString;
    nodes = lib.attrNames test.config.nodes;
    refused = lib.concatMap (node: refused node ++ node.warnings) (lib.attrValues test.config.nodes);
  }) project.vmTests;

  images = lib.mapAttrs (_: image: image.drvPath) project.images;

  # By path only: what a flake's users get.
  packages = lib.mapAttrs (_: package: package.drvPath) project.packages;
  shell = project.devShells.default.drvPath;

  # Refused with --option allow-import-from-derivation false, as everything above is evaluated.
  importFromDerivation = builtins.readFile "${
    (evaluate [
      {
        networking.hostName = "lb1";
        services.fairway.topology = ../gen/examples/direct.toml;
      }
    ]).config.services.fairway.files
  }/etc/sysctl.d/60-fairway.conf";
}
