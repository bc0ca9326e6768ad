{
  description = "Fairway: a load balancer out of the Linux kernel's own parts, from one topology file";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  # Everything is in default.nix and nix/, which work without flakes too.
  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      project = system: import ./. { pkgs = nixpkgs.legacyPackages.${system}; };
      eachSystem =
        name:
        lib.genAttrs [
          "x86_64-linux"
          "aarch64-linux"
        ] (system: (project system).${name});
    in
    {
      packages = eachSystem "packages";
      checks = eachSystem "checks";
      devShells = eachSystem "devShells";
      formatter = eachSystem "formatter";

      overlays.default = import ./nix/overlay.nix;
      nixosModules = import ./nix/modules;
      lib = import ./nix/lib {
        inherit lib;
        module = self.nixosModules.default;
        inherit (lib) nixosSystem;
      };
      nixosConfigurations = import ./nix/example {
        inherit lib;
        fairway = self.lib;
      };
      templates = import ./nix/templates;
    };
}
