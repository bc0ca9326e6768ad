# A machine that learns at boot which host of which topology it is: director and real server from one image.
{ lib, pkgs, ... }:
let
  package = pkgs.fairway or (pkgs.callPackage ../package.nix { });
  files = "/run/fairway/files/etc";
in
{
  networking = {
    # Whatever is not said: the topology's interfaces are eth0, eth1, ...
    usePredictableInterfaceNames = lib.mkDefault false;
    useNetworkd = true;
    useDHCP = false;
    # The topology says what is let in (`[firewall]`).
    firewall.enable = false;
    nftables.enable = true;
    # The credential system.hostname can name it.
    hostName = lib.mkOverride 1100 "";
  };

  environment.systemPackages = [ package ];
  environment.etc = {
    "fairway/director.toml".source = "${files}/fairway/director.toml";
    "fairway/topology.toml".source = "/run/fairway/topology.toml";
    "fairway/secrets".source = "/run/fairway/secrets";
  };

  systemd.packages = [ package ];
  services.dbus.packages = [ package ];
  users = {
    users.fairway = {
      isSystemUser = true;
      group = "fairway";
      description = "Fairway director";
    };
    groups.fairway = { };
  };

  systemd.paths.fairway-lease.wantedBy = [ "multi-user.target" ];

  systemd.services = {
    # The package's units.
    fairway-provision = {
      wantedBy = [ "sysinit.target" ];
      # blkid, mount, umount, udevadm
      path = [
        pkgs.util-linux
        pkgs.systemd
      ];
    };

    fairway-lease = {
      wantedBy = [ "multi-user.target" ];
      path = [
        pkgs.util-linux
        pkgs.systemd
      ];
    };

    # Like the package's unit for other systems: one transaction, after the flushing of NixOS' own service.
    fairway-nftables = {
      description = "Fairway firewall and address translation rules (table inet fairway)";
      unitConfig = {
        DefaultDependencies = false;
        ConditionPathExists = "${files}/nftables.d/fairway.nft";
        PartOf = "nftables.service";
        ReloadPropagatedFrom = "nftables.service";
      };
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-pre.target" ];
      after = [
        "fairway-provision.service"
        "nftables.service"
      ];
      before = [
        "network-pre.target"
        "shutdown.target"
      ];
      conflicts = [ "shutdown.target" ];
      serviceConfig =
        let
          load = "${lib.getExe pkgs.nftables} -I ${files}/nftables.d -f ${files}/nftables.d/fairway.nft";
        in
        {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = load;
          ExecReload = load;
          ExecStop = "-${lib.getExe pkgs.nftables} delete table inet fairway";
        };
    };

    fairway-gue = {
      description = "Fairway UDP ports that take Generic UDP Encapsulation";
      unitConfig = {
        DefaultDependencies = false;
        ConditionPathExists = "${files}/fairway/gue-open.batch";
      };
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-pre.target" ];
      after = [
        "fairway-provision.service"
        "systemd-modules-load.service"
      ];
      before = [
        "network-pre.target"
        "shutdown.target"
      ];
      conflicts = [ "shutdown.target" ];
      serviceConfig =
        let
          ip = lib.getExe' pkgs.iproute2 "ip";
        in
        {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = "${ip} -batch ${files}/fairway/gue-open.batch";
          ExecStop = "-${ip} -force -batch ${files}/fairway/gue-close.batch";
        };
    };

    fairway-director = {
      wantedBy = [ "multi-user.target" ];
      # A real server has no such file.
      unitConfig.ConditionPathExists = "${files}/fairway/director.toml";
      stopIfChanged = false;
    };
    # Only ever started by the director's OnFailure=.
    fairway-release.restartIfChanged = false;
  };

  # Nothing but what serves: no account can log in unless another module adds one.
  documentation.enable = lib.mkDefault false;
  boot.kernelParams = [ "console=ttyS0" ];
  system.stateVersion = lib.mkDefault "26.05";
}
