# pkgs.fairway and its parts.
final: _prev: {
  fairway = final.callPackage ./package.nix { };
  fairway-gen = final.callPackage ./package.nix {
    pname = "fairway-gen";
    programs = [ "fairway-gen" ];
  };
  fairway-director = final.callPackage ./package.nix {
    pname = "fairway-director";
    programs = [
      "fairway-director"
      "fairwayctl"
    ];
  };
  # One file each that runs on any Linux.
  fairway-static = final.pkgsStatic.callPackage ./package.nix { pname = "fairway-static"; };
}
