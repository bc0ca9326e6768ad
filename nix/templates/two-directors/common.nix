# What all hosts have. Disks and boot loader are those of your machines: put each machine's
# hardware-configuration.nix in place of this, with `perHost` in flake.nix.
{ lib, ... }:
{
  nixpkgs.hostPlatform = lib.mkDefault "x86_64-linux";
  boot.loader.systemd-boot.enable = lib.mkDefault true;
  fileSystems."/" = lib.mkDefault {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  fileSystems."/boot" = lib.mkDefault {
    device = "/dev/disk/by-label/boot";
    fsType = "vfat";
  };
  # The topology says eth0.
  networking.usePredictableInterfaceNames = false;

  services.openssh.enable = true;
  # users.users.root.openssh.authorizedKeys.keys = [ "ssh-ed25519 ..." ];
  system.stateVersion = "26.05";
}
