# services.fairway: makes a host the director or real server that the topology says it is.
#
# `lib.importTOML` reads the topology for what evaluation needs (assertions, ports); all files come out of
# fairway-gen in one derivation, so that nothing here knows about forwarding kinds. Nothing is read back from that
# derivation during evaluation.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.fairway;

  # ---- the topology

  fromDerivation =
    lib.isDerivation cfg.topology
    || (
      lib.isString cfg.topology
      && lib.any (context: context ? outputs) (lib.attrValues (builtins.getContext cfg.topology))
    );
  isTable = lib.isAttrs cfg.topology && !fromDerivation;
  isFile = !isTable && !fromDerivation && lib.pathIsRegularFile cfg.topology;
  topologyFile =
    if isTable then
      (pkgs.formats.toml { }).generate "topology.toml" cfg.topology
    else
      # The file alone, so that a change elsewhere in its directory changes nothing here.
      builtins.path {
        name = "topology.toml";
        path = cfg.topology;
      };
  topology =
    if isTable then
      cfg.topology
    else if isFile then
      lib.importTOML cfg.topology
    else
      { };
  facts = import ../lib/facts.nix { inherit lib; } topology;

  readable = isTable || isFile;
  known = lib.elem cfg.host facts.hosts;
  director = facts.isDirector cfg.host;
  realServer = facts.isRealServer cfg.host;

  # ---- the files

  stateless = lib.filterAttrs (_: value: value != null) config.boot.kernel.sysctl;
  generated = pkgs.runCommand "fairway-${cfg.host}" {
    inherit (cfg) host;
    topology = topologyFile;
    generator = lib.getExe' cfg.generatorPackage "fairway-gen";
    director = lib.getExe' cfg.generatorPackage "fairway-director";
    settings = lib.optionalString (cfg.settings != { }) (
      toString (pkgs.writeText "fairway-settings.json" (builtins.toJSON cfg.settings))
    );
    merge = lib.optionalString (cfg.settings != { }) "merge-settings";
    sysctls = pkgs.writeText "kernel-sysctls" (
      lib.concatStrings (
        lib.mapAttrsToList (
          key: value: "${key} = ${if value == false then "0" else toString value}\n"
        ) stateless
      )
    );
    nftables = lib.optionalString config.networking.nftables.enable "1";
    nativeBuildInputs = lib.optional (cfg.settings != { }) (
      pkgs.writers.writePython3Bin "merge-settings" {
        libraries = [ pkgs.python3Packages.tomli-w ];
        doCheck = false;
      } (builtins.readFile ../merge-settings.py)
    );
  } (builtins.readFile ../generate.sh);

  linked = directory: {
    target = directory;
    source = "${generated}/etc/${directory}/*";
  };

  # ---- firewall

  nixosFirewall = config.networking.firewall.enable && config.networking.nftables.enable;
  serverPorts = facts.serverPorts cfg.host;
  rangesOf =
    protocol:
    lib.concatMap (entry: lib.optionals (lib.elem protocol (lib.toList entry.protocol)) entry.ranges) (
      lib.filter (entry: entry.ranges != null) serverPorts
    );
  unknownPorts = lib.unique (map (e: e.service) (lib.filter (e: e.ranges == null) serverPorts));
  single =
    protocol: lib.catAttrs "from" (lib.filter (range: range.from == range.to) (rangesOf protocol));
  several = protocol: lib.filter (range: range.from != range.to) (rangesOf protocol);
  opensServer = cfg.openFirewall && realServer;

  # Wrapped packets, from the directors; from anyone where a director's address is not known.
  tunnels = facts.tunnelsTo cfg.host;
  tunnelled = tunnels != [ ];
  gue = lib.filter (tunnel: tunnel.type or "" == "gue") tunnels;
  tunnelRules =
    let
      addresses = map facts.addresses facts.directors;
      from =
        family: of:
        let
          known = lib.filter of (lib.concatLists addresses);
        in
        if lib.elem [ ] addresses then
          [ "" ]
        else
          lib.optional (known != [ ]) "${family} saddr { ${lib.concatStringsSep ", " known} } ";
      isIpv6 = lib.hasInfix ":";
      ports = lib.unique (map (tunnel: toString (tunnel.port or 6080)) gue);
    in
    lib.concatMapStrings (
      who:
      # IP in IP, IPv6 in IP, GRE.
      "${who}meta l4proto { 4, 41, 47 } accept\n"
      + lib.optionalString (
        ports != [ ]
      ) "${who}udp dport { ${lib.concatStringsSep ", " ports} } accept\n"
    ) (lib.unique (from "ip" (address: !isIpv6 address) ++ from "ip6" isIpv6));

  # ---- secrets

  secretsDirectory = "/etc/fairway/secrets/";
  wanted = lib.optionals director (facts.keyFilesOf cfg.host);
  missingSecrets = lib.filter (
    file:
    lib.hasPrefix secretsDirectory file && !(cfg.secrets ? ${lib.removePrefix secretsDirectory file})
  ) wanted;
  unusedSecrets = lib.filter (name: !(lib.elem (secretsDirectory + name) wanted)) (
    lib.attrNames cfg.secrets
  );
  inStore = lib.filterAttrs (_: path: lib.hasPrefix builtins.storeDir path) cfg.secrets;

  # ---- addresses that NixOS sets as well

  vips = lib.attrValues facts.virtualIps;
  static =
    lib.concatLists (
      lib.mapAttrsToList (
        name: interface:
        map (address: {
          option = "networking.interfaces.${name}";
          inherit (address) address;
        }) (interface.ipv4.addresses ++ interface.ipv6.addresses)
      ) config.networking.interfaces
    )
    ++ lib.concatLists (
      lib.mapAttrsToList (
        name: network:
        map (address: {
          option = "systemd.network.networks.${name}";
          address = lib.head (lib.splitString "/" address);
        }) (network.address ++ lib.catAttrs "Address" network.addresses)
      ) config.systemd.network.networks
    );
  clashes = lib.filter (entry: lib.elem entry.address vips) static;
  twiceSet = lib.filter (
    name:
    let
      interface = config.networking.interfaces.${name} or { };
    in
    (interface.ipv4.addresses or [ ]) ++ (interface.ipv6.addresses or [ ]) != [ ]
    && !(lib.all (address: lib.elem address (facts.addresses cfg.host)) (
      map (a: a.address) (interface.ipv4.addresses ++ interface.ipv6.addresses)
    ))
  ) (facts.managedInterfaces cfg.host);
in
{
  imports = [ ./options.nix ];

  config = lib.mkIf cfg.enable {
    services.fairway = {
      role = {
        inherit director realServer;
      };
      files = generated;
    };

    assertions = [
      {
        assertion = !fromDerivation;
        message = ''
          services.fairway.topology is the output of a derivation (${toString cfg.topology}), which would have to be built
          during evaluation. Give it a path of your configuration, such as ./topology.toml, or an attribute set.'';
      }
      {
        assertion = fromDerivation || readable;
        message = "services.fairway.topology: there is no file ${toString cfg.topology}. In a flake it must be tracked: git add it.";
      }
      {
        assertion = !readable || known;
        message = ''
          services.fairway.host is "${cfg.host}", and the topology has no such host; it has ${lib.concatStringsSep ", " facts.hosts}.
          Set services.fairway.host (the default is networking.hostName), or add hosts.${cfg.host} to the topology.'';
      }
      {
        assertion = !known || cfg.mustBe != "director" || director;
        message = ''
          nixosModules.director is used on "${cfg.host}", which is no director: no failover group and no service of the topology
          names it as one. Use nixosModules.default, or add it to the group's directors.'';
      }
      {
        assertion = !known || cfg.mustBe != "real-server" || realServer;
        message = ''
          nixosModules.real-server is used on "${cfg.host}", which is no real server: no service of the topology names it as one.
          Use nixosModules.default, or add it to the service's real-servers.'';
      }
      {
        assertion = config.systemd.network.enable && config.networking.useNetworkd;
        message = ''
          services.fairway needs systemd-networkd, and networking.useNetworkd or systemd.network.enable is false: scripted
          networking would not read the generated .network files, and would take the virtual IPs off its interfaces.
          Set networking.useNetworkd = true.'';
      }
      {
        assertion = !director || config.networking.nftables.enable;
        message = ''
          services.fairway: the directors' rules are an nftables table, and networking.nftables.enable is false (iptables firewall
          backend). Set networking.nftables.enable = true.'';
      }
      {
        assertion = !(director && config.services.keepalived.enable);
        message = ''
          services.fairway and services.keepalived would both own virtual IPs and the IPVS table of "${cfg.host}".
          Disable services.keepalived on this host; as the other director of a group it is welcome (docs/how-to/nixos.md).'';
      }
      {
        assertion =
          !(
            tunnelled
            && config.networking.firewall.enable
            && lib.elem config.networking.firewall.checkReversePath [
              true
              "strict"
            ]
          );
        message = ''
          networking.firewall.checkReversePath is strict on the tunnel real server "${cfg.host}": packets leave the tunnel with the
          client's address and are dropped. Set networking.firewall.checkReversePath = "loose".'';
      }
      {
        assertion = !known || !cfg.metrics.enable || director;
        message = ''
          services.fairway.metrics is enabled on "${cfg.host}", which is no director: real servers have no metrics of Fairway.
          Enable it on ${lib.concatStringsSep ", " facts.directors}.'';
      }
      {
        assertion = missingSecrets == [ ];
        message = ''
          services.fairway.secrets lacks ${
            lib.concatMapStringsSep ", " (lib.removePrefix secretsDirectory) missingSecrets
          }: the topology names ${lib.concatStringsSep ", " missingSecrets} as key-file for "${cfg.host}".
          Set services.fairway.secrets.<name> to where the file is at run time, such as config.age.secrets.<name>.path.'';
      }
      {
        assertion = unusedSecrets == [ ];
        message = ''services.fairway.secrets has ${lib.concatStringsSep ", " unusedSecrets}, and the topology has no key-file ${
          lib.concatMapStringsSep ", " (name: secretsDirectory + name) unusedSecrets
        } for "${cfg.host}". Take it out, or name it in the topology.'';
      }
      {
        assertion = inStore == { };
        message = ''
          services.fairway.secrets.${lib.concatStringsSep ", " (lib.attrNames inStore)} is in the Nix store, which everybody can read.
          Give a path that exists at run time only, as a string: config.age.secrets.<name>.path, config.sops.secrets.<name>.path.'';
      }
    ]
    ++ map (clash: {
      assertion = false;
      message = ''
        ${clash.option} has ${clash.address}, which is a virtual IP of the topology: only the director that is master may have
        it, and the director puts it there. Take it out of ${clash.option}.'';
    }) clashes;

    warnings =
      lib.optional (twiceSet != [ ]) ''
        services.fairway: the topology sets the addresses of ${lib.concatStringsSep ", " twiceSet}, and
        networking.interfaces has others, which are not used. Take them out, or write manage = false in the topology.''
      ++ lib.optional (opensServer && config.networking.firewall.enable && unknownPorts != [ ]) ''
        services.fairway: the ports of ${lib.concatStringsSep ", " unknownPorts} are written in a form the module does not read;
        open them with networking.firewall.'';

    # ---- what the generated files need of NixOS

    networking.useNetworkd = lib.mkDefault true;
    networking.nftables.enable = lib.mkDefault true;

    environment.systemPackages = [ cfg.package ];
    environment.etc = {
      fairway-network = linked "systemd/network";
      fairway-networkd = linked "systemd/networkd.conf.d";
      fairway-modules = linked "modules-load.d";
      # After 60-nixos.conf; what both set is refused when the files are made.
      "sysctl.d/70-fairway.conf".source = "${generated}/etc/sysctl.d/60-fairway.conf";
      "fairway/topology.toml".source = topologyFile;
    }
    // lib.optionalAttrs director {
      "fairway/director.toml".source = "${generated}/etc/fairway/director.toml";
    }
    // lib.optionalAttrs (gue != [ ]) {
      # The unit reads them where they are made; here they are for people, and for `fairway-gen diff`.
      "fairway/gue-open.batch".source = "${generated}/etc/fairway/gue-open.batch";
      "fairway/gue-close.batch".source = "${generated}/etc/fairway/gue-close.batch";
    }
    // lib.mapAttrs' (
      name: _:
      lib.nameValuePair "fairway/secrets/${name}" {
        source = "/run/credentials/fairway-director.service/${name}";
      }
    ) cfg.secrets;

    systemd.services = {
      systemd-modules-load.restartTriggers = [ generated ];
      systemd-sysctl.restartTriggers = [ generated ];
      # Reloading makes new links and reconfigures those whose files changed; networkd.conf.d is the same for all topologies.
      systemd-networkd = {
        reloadTriggers = [ generated ];
        restartTriggers = lib.optional director "networkd.conf.d of ${cfg.generatorPackage}";
      };
    }
    // lib.optionalAttrs (gue != [ ]) {
      # As the unit for other systems.
      fairway-gue = {
        description = "Fairway UDP ports that take Generic UDP Encapsulation";
        wantedBy = [ "multi-user.target" ];
        wants = [ "network-pre.target" ];
        before = [
          "network-pre.target"
          "shutdown.target"
        ];
        after = [ "systemd-modules-load.service" ];
        conflicts = [ "shutdown.target" ];
        unitConfig.DefaultDependencies = false;
        serviceConfig =
          let
            ip = lib.getExe' pkgs.iproute2 "ip";
          in
          {
            Type = "oneshot";
            RemainAfterExit = true;
            ExecStartPre = "-${ip} -force -batch ${generated}/etc/fairway/gue-close.batch";
            ExecStart = "${ip} -batch ${generated}/etc/fairway/gue-open.batch";
            ExecStop = "-${ip} -force -batch ${generated}/etc/fairway/gue-close.batch";
          };
      };
    }
    // lib.optionalAttrs director {
      # The package's unit, with what depends on this system.
      fairway-director = {
        wantedBy = [ "multi-user.target" ];
        # One restart with the new unit: the process hands on to its successor, and virtual IPs stay.
        stopIfChanged = false;
        reloadTriggers = [ generated ];
        serviceConfig = lib.mkIf (cfg.secrets != { }) {
          LoadCredential = lib.mapAttrsToList (name: path: "${name}:${path}") cfg.secrets;
        };
      };
      # Only ever started by the director's OnFailure=.
      fairway-release.restartIfChanged = false;
    };
    systemd.sockets.fairway-metrics = lib.mkIf (director && cfg.metrics.enable) {
      wantedBy = [ "sockets.target" ];
      # The first, empty one takes back the unit's own.
      socketConfig.ListenStream = [
        ""
        "${cfg.metrics.listenAddress}:${toString cfg.metrics.port}"
      ];
    };
    systemd.packages = lib.mkIf director [ cfg.package ];
    services.dbus.packages = lib.mkIf director [ cfg.package ];
    users = lib.mkIf director {
      users.fairway = {
        isSystemUser = true;
        group = "fairway";
        description = "Fairway director";
      };
      groups.fairway = { };
    };

    # ---- packet filter

    networking.nftables.tables = lib.mkIf config.networking.nftables.enable {
      fairway = {
        family = "inet";
        content = ''include "${generated}/etc/nftables.d/fairway.inner.nft"'';
      };
      # NixOS' chain drops what connection tracking calls invalid before it looks at any port, and the one-sided flows of
      # direct routing are that: ours come first. Repeating a chain's head adds rules to the chain.
      nixos-fw = lib.mkIf (nixosFirewall && cfg.openFirewall && director) {
        content = lib.mkBefore ''
          include "${generated}/nixos-fw/sets.nft"
          chain input {
            type filter hook input priority filter; policy drop;
            include "${generated}/nixos-fw/input.nft"
          }
          ${lib.optionalString config.networking.firewall.filterForward ''
            chain forward {
              type filter hook forward priority filter; policy drop;
              include "${generated}/nixos-fw/forward.nft"
            }
          ''}
        '';
      };
    };
    networking.firewall = {
      # Packets of clients come in from where this host would not send to them: through a director, or out of a tunnel.
      checkReversePath = lib.mkDefault "loose";
      allowedTCPPorts =
        lib.optionals opensServer (single "tcp")
        ++ lib.optional (director && cfg.metrics.enable && cfg.metrics.openFirewall) cfg.metrics.port;
      allowedTCPPortRanges = lib.mkIf opensServer (several "tcp");
      allowedUDPPorts = lib.mkIf opensServer (single "udp");
      allowedUDPPortRanges = lib.mkIf opensServer (several "udp");
      extraInputRules = lib.mkIf (opensServer && nixosFirewall) (
        lib.optionalString tunnelled tunnelRules
        + lib.concatMapStrings (port: "sctp dport ${toString port} accept\n") (single "sctp")
        + lib.concatMapStrings (range: "sctp dport ${toString range.from}-${toString range.to} accept\n") (
          several "sctp"
        )
      );
    };
  };
}
