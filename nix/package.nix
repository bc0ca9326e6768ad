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
    "fairway-provision"
  ],
  pname ? "fairway",
}:
let
  root = ../.;
  manifest = (lib.importTOML (root + "/Cargo.toml")).workspace;
  units =
    lib.optional (lib.elem "fairway-director" programs) "install_units"
    ++ lib.optional (lib.elem "fairway-provision" programs) "install_appliance_units";
  # What people type has manual pages and completions.
  operated = lib.intersectLists programs [
    "fairway-gen"
    "fairwayctl"
  ];
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
  # For size: docs/adr/0012-what-is-shipped-is-built-for-size.md.
  buildType = "dist";
  cargoBuildFlags = lib.concatMap (program: [
    "--package"
    program
  ]) programs;
  # The tests need network namespaces, a bus and programs that a build sandbox does not have; ./test runs them.
  doCheck = false;

  nativeBuildInputs = [ installShellFiles ];

  postInstall = ''
    source ${./install-units.sh}
    for install in ${toString units}; do
      $install . "$out"
    done
    ${lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
      mkdir man
      for program in ${toString operated}; do
        $out/bin/$program man --out man
        installManPage man/$program*
        installShellCompletion --cmd $program \
          --bash <($out/bin/$program completions bash) \
          --fish <($out/bin/$program completions fish) \
          --zsh <($out/bin/$program completions zsh)
      done
    ''}
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
