# Bootable images, by name.
{ pkgs }:
let
  inherit (pkgs) lib;
  evaluate =
    modules:
    (import (pkgs.path + "/nixos/lib/eval-config.nix") {
      system = null;
      modules = [
        (pkgs.path + "/nixos/modules/profiles/qemu-guest.nix")
        { nixpkgs = { inherit pkgs; }; }
      ]
      ++ modules;
    }).config;

  # Each of system.build.images sets file systems and boot loader itself.
  inherit
    (evaluate [
      ./appliance.nix
      { boot.loader.grub.enable = lib.mkDefault false; }
    ])
    system
    ;

  installer = evaluate [
    (pkgs.path + "/nixos/modules/installer/cd-dvd/installation-cd-base.nix")
    {
      environment.systemPackages = [
        (pkgs.callPackage ../package.nix { })
        (pkgs.writeShellApplication {
          name = "fairway-install";
          text = ''
            [ -b "''${1:-}" ] || { echo "usage: fairway-install /dev/DISK: writes the appliance over the whole disk" >&2; exit 2; }
            read -rp "Everything on $1 will be lost. Go on (yes/no)? " answer
            [ "$answer" = yes ] || exit 1
            dd if=${verity.system.build.image}/${verity.image.filePath} of="$1" bs=4M conv=fsync status=progress
            echo "Done. The topology comes from a file system labelled FAIRWAY, or from the credential fairway.topology."
          '';
        })
      ];
    }
  ];
  verity = evaluate [
    ./appliance.nix
    ./verity.nix
  ];
in
{
  raw-efi = system.build.images.raw-efi;
  qcow2 = system.build.images.qemu-efi;
  iso = system.build.images.iso;
  appliance = verity.system.build.image;
  installer = installer.system.build.isoImage;
}
