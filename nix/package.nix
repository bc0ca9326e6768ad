# Fairway: the generator, the director and its command line, units and bus policy.
{
  lib,
  rustPlatform,
  stdenv,
  installShellFiles,
  # Which programs: their crates.
  programs ? [
    "fairway-gen"
    "fairway-director"
    "fairwayctl"
  ],
  pname ? "fairway",
}:
let
  root = ../.;
  manifest = (lib.importTOML (root + "/Cargo.toml")).workspace;
  withDirector = lib.elem "fairway-director" programs;
in
rustPlatform.buildRustPackage {
  inherit pname;
  inherit (manifest.package) version;

  src = lib.fileset.toSource {
    inherit root;
    fileset = lib.fileset.unions [
      (root + "/Cargo.lock")
      (root + "/Cargo.toml")
      (root + "/director")
      (root + "/gen")
      (root + "/images/provision")
    ];
  };
  cargoLock.lockFile = root + "/Cargo.lock";
  cargoBuildFlags = lib.concatMap (program: [
    "--package"
    program
  ]) programs;
  # The tests need network namespaces, a bus and programs that a build sandbox does not have; ./test runs them.
  doCheck = false;

  nativeBuildInputs = [ installShellFiles ];

  postInstall = ''
    ${lib.optionalString withDirector ''
      source ${./install-units.sh}
      install_units director/daemon/systemd "$out"
    ''}
    ${lib.optionalString
      (lib.elem "fairway-gen" programs && stdenv.buildPlatform.canExecute stdenv.hostPlatform)
      ''
        mkdir man
        $out/bin/fairway-gen man --out man
        installManPage man/*
        installShellCompletion --cmd fairway-gen \
          --bash <($out/bin/fairway-gen completions bash) \
          --fish <($out/bin/fairway-gen completions fish) \
          --zsh <($out/bin/fairway-gen completions zsh)
      ''
    }
  '';

  meta = {
    description = "Load balancer out of the Linux kernel's own parts: IPVS, VRRP and one topology file";
    license = with lib.licenses; [
      mit
      asl20
    ];
    mainProgram = lib.head programs;
    platforms = lib.platforms.linux;
  };
}
