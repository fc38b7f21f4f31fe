# Daemon, control tool and units; in the output `lib` the NSS module and nothing else, because NixOS puts that output on
# nscd's LD_LIBRARY_PATH.
{
  lib,
  stdenv,
  rust,
  rustPlatform,
  installShellFiles,
}:
let
  manifest = lib.importTOML ../Cargo.toml;
  inherit (lib.fileset) toSource unions;
  target = stdenv.hostPlatform.rust;
in
rustPlatform.buildRustPackage {
  pname = "data-mesher";
  inherit (manifest.workspace.package) version;

  # Cargo reads the manifest of every member, so all of them are there; and what they include from elsewhere.
  src = toSource {
    root = ../.;
    fileset = unions (
      map (member: ../. + "/${member}") manifest.workspace.members
      ++ [
        ../Cargo.lock
        ../Cargo.toml
        ../docs
        ../units
        # For the flake's checks, which have the same source.
        ../clippy.toml
        ../rustfmt.toml
      ]
    );
  };
  cargoLock.lockFile = ../Cargo.lock;

  outputs = [
    "out"
    "lib"
  ];

  nativeBuildInputs = [ installShellFiles ];

  cargoBuildFlags = [
    "--package=mesherd"
    "--package=mesherctl"
    # Writes the manual pages, below.
    "--package=mesher_manual"
  ];
  # The module has a profile of its own: it must not unwind.
  postBuild = ''
    ${rust.envVars.setEnv} cargo build --offline --profile nss --target ${target.rustcTargetSpec} --package nss_mesher
  '';

  # The logic. The rest of the tests need root, machines or a network, and are run by `cargo xtask test` and the VM tests.
  cargoTestFlags = [
    "--package=mesher_claims"
    "--package=mesher_config"
    "--package=mesher_control"
    "--package=mesher_table"
  ];

  postInstall = ''
    install -D -m 0444 target/${target.cargoShortTarget}/nss/libnss_mesher.so $lib/lib/libnss_mesher.so.2
    install -D -m 0444 -t $out/lib/systemd/system units/data-mesher.service units/data-mesher.socket \
      units/data-mesher-reload@.path units/data-mesher-reload@.service
    substituteInPlace $out/lib/systemd/system/data-mesher.service --replace-fail /usr/bin/ $out/bin/
    # systemd finds its own programs.
    substituteInPlace $out/lib/systemd/system/data-mesher-reload@.service --replace-fail /usr/bin/systemctl systemctl
    install -D -m 0444 -t $out/lib/systemd/catalog units/data-mesher.catalog
  ''
  + lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
    $out/bin/mesher_manual pages "$(date --utc --date="@$SOURCE_DATE_EPOCH" +%F)"
    installManPage pages/man*/*
    installShellCompletion --cmd mesherctl \
      --bash <($out/bin/mesherctl completions bash) \
      --fish <($out/bin/mesherctl completions fish) \
      --zsh <($out/bin/mesherctl completions zsh)
  ''
  + "rm $out/bin/mesher_manual\n";

  meta = {
    inherit (manifest.workspace.package) description;
    license = [
      lib.licenses.mit
      lib.licenses.asl20
    ];
    platforms = lib.platforms.linux;
    mainProgram = "mesherctl";
  };
}
