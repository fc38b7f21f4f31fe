# What the module takes from nixpkgs' package set, as values that can be looked into instead of being built: a package is
# a name, a path made from everything that went into it, and, where there is one, its text.
{
  lib,
  crossCompiled ? false,
}:
let
  derivation =
    name: parts:
    let
      hash = builtins.substring 0 32 (builtins.hashString "sha256" (builtins.toJSON ([ name ] ++ parts)));
      outPath = "/nix/store/${hash}-${name}";
      base = {
        inherit name outPath;
        type = "derivation";
        drvPath = "${outPath}.drv";
        outputName = "out";
        stub = parts;
      };
    in
    base;

  withOutputs =
    outputs: base:
    let
      made = lib.genAttrs outputs (
        output:
        base
        // made
        // {
          inherit outputs;
          outputName = output;
          outputSpecified = true;
          outPath = if output == "out" then base.outPath else "${base.outPath}-${output}";
        }
      );
    in
    made.out // { outputSpecified = false; };

  platform = {
    # Asked with a platform, as nixpkgs' own is.
    canExecute = other: builtins.isAttrs other.rust && !crossCompiled;
    rust = {
      rustcTargetSpec = "x86_64-unknown-linux-gnu";
      cargoShortTarget = "x86_64-unknown-linux-gnu";
    };
  };
  runCommand =
    name: environment: script:
    derivation name [
      environment
      script
    ];

  pkgs = {
    inherit lib runCommand;
    stdenv = {
      buildPlatform = platform;
      hostPlatform = platform;
    };
    coreutils = derivation "coreutils" [ ];
    systemd = derivation "systemd" [ ];
    installShellFiles = derivation "install-shell-files-hook" [ ];
    rust.envVars.setEnv = "env";
    writeText = name: text: derivation name [ text ] // { inherit text; };
    writeShellScript = name: text: derivation name [ text ] // { inherit text; };
    callPackage =
      file: arguments:
      let
        function = import file;
      in
      function (builtins.intersectAttrs (builtins.functionArgs function) pkgs // arguments);
    testers.runNixOSTest =
      arguments:
      derivation "vm-test-run-${arguments.name}" [
        arguments.testScript
        arguments.globalTimeout
        (lib.attrNames arguments.nodes)
        arguments.skipLint
        arguments.skipTypeCheck
      ];
    rustPlatform.buildRustPackage =
      arguments:
      withOutputs arguments.outputs (
        derivation arguments.pname [ arguments.version ]
        // {
          inherit arguments;
          overrideAttrs =
            change:
            let
              changed = arguments // change arguments;
            in
            derivation changed.pname [
              changed.buildPhase
              (map toString changed.nativeBuildInputs)
            ];
        }
      );
    formats.toml = _: {
      # TOML's values: no null, no functions.
      type =
        let
          value = lib.types.oneOf [
            lib.types.bool
            lib.types.int
            lib.types.float
            lib.types.str
            lib.types.path
            (lib.types.attrsOf value)
            (lib.types.listOf value)
          ];
        in
        value // { description = "TOML value"; };
      generate = name: value: derivation name [ (builtins.toJSON value) ] // { inherit value; };
    };
  };
in
pkgs
