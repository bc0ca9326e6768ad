# What every machine of the example has, beside the part that the topology gives it.
{ lib, modulesPath, ... }:
{
  imports = [ (modulesPath + "/profiles/qemu-guest.nix") ];

  nixpkgs.hostPlatform = lib.mkDefault "x86_64-linux";
  # With mkDefault, so that each of system.build.images can say otherwise.
  boot.loader.grub.device = lib.mkDefault "/dev/vda";
  fileSystems."/" = lib.mkDefault {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  # The topology's interface names.
  networking.usePredictableInterfaceNames = false;

  services.openssh.enable = true;
  system.stateVersion = "26.05";
}
