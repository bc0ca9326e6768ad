# The appliance on a disk that cannot change: systemd-repart, a unified kernel image, the store under dm-verity, the
# root in memory.
{
  config,
  lib,
  modulesPath,
  pkgs,
  ...
}:
let
  inherit (config.image.repart.verityStore) partitionIds;
in
{
  imports = [ (modulesPath + "/image/repart.nix") ];

  fileSystems."/" = {
    fsType = "tmpfs";
    options = [ "mode=0755" ];
  };
  boot = {
    loader.grub.enable = false;
    initrd.systemd.enable = true;
  };
  system.image.id = "fairway-appliance";
  # /usr is a part of the store, and read-only.
  system.activationScripts.usrbinenv = lib.mkForce "";

  image.repart = {
    name = "fairway-appliance";
    # Firmware wants this, whatever the disk has.
    sectorSize = 512;
    verityStore = {
      enable = true;
      # The firmware starts the kernel itself.
      ukiPath = "/EFI/BOOT/BOOT${lib.toUpper pkgs.stdenv.hostPlatform.efiArch}.EFI";
    };
    partitions.${partitionIds.esp}.repartConfig = {
      Type = "esp";
      Format = "vfat";
      SizeMinBytes = "128M";
    };
  };
}
