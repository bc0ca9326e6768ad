# lb1 boots the appliance's disk, with firmware, and learns from credentials that it is lb1.
{ cluster, lib, ... }:
cluster {
  topology = ./topologies/guests-direct.toml;
  nodes.lb1 =
    { config, ... }:
    {
      imports = [
        ../nix/images/appliance.nix
        ../nix/images/verity.nix
      ];
      services.fairway.enable = false;

      # The driver's own addresses would be a second owner of the interface.
      networking.interfaces.eth1.ipv4.addresses = lib.mkForce [ ];
      networking.interfaces.eth1.ipv6.addresses = lib.mkForce [ ];

      virtualisation = {
        directBoot.enable = false;
        mountHostNixStore = false;
        useEFIBoot = true;
        fileSystems = lib.mkVMOverride { };
        diskImage = null;
        qemu.drives = [
          {
            name = "root";
            file = "${config.system.build.image}/${config.image.filePath}";
            driveExtraOpts = {
              format = "raw";
              # Whatever is written is gone with the machine.
              snapshot = "on";
            };
            deviceExtraOpts.bootindex = "1";
          }
        ];
        credentials = {
          "fairway.topology" = {
            mechanism = "fw_cfg";
            source = ./topologies/guests-direct.toml;
          };
          "fairway.host".text = "lb1";
        };
      };
    };
}
