# A stand-in for nixpkgs whose packages Nix really builds, with this machine's compilers and shell: `tools` is its PATH,
# `cargo` the environment that cargo needs, and `cache` a folder for what cargo has built before. The phases of a Rust
# package, and their order, are those of nixpkgs' build-rust-package and its hooks.
{
  lib,
  system,
  tools,
  cargo,
  cache,
}:
let
  target = "${builtins.head (builtins.split "-" system)}-unknown-linux-gnu";

  build =
    name: outputs: environment: script:
    derivation (
      environment
      // {
        inherit name outputs system;
        builder = "/bin/bash";
        # With something after the script: bash would become the script's last program, such as touch, which closes its outputs
        # before it ends. Nix takes a builder that has closed them for done, kills it, and finds it killed.
        args = [
          "-euo"
          "pipefail"
          "-c"
          "${script}\n:\n"
        ];
        PATH = tools;
      }
    );

  # What stdenv and the hooks in nativeBuildInputs offer.
  functions = ''
    substituteInPlace() {
      [ "$2" = --replace-fail ] && grep -qF -- "$3" "$1" || { echo "substituteInPlace: nothing to replace in $1" >&2; exit 1; }
      chmod u+w "$1"
      python3 -c 'import sys; f, a, b = sys.argv[1:]; t = open(f).read(); open(f, "w").write(t.replace(a, b))' "$1" "$3" "$4"
    }
    installManPage() {
      local page
      for page; do install -D -m 0444 -t "$out/share/man/man''${page##*.}" "$page"; done
    }
    installShellCompletion() {
      [ "$1" = --cmd ]
      local command=$2
      shift 2
      while [ $# -gt 0 ]; do
        case $1 in
          --bash) install -D -m 0444 "$2" "$out/share/bash-completion/completions/$command.bash" ;;
          --fish) install -D -m 0444 "$2" "$out/share/fish/vendor_completions.d/$command.fish" ;;
          --zsh) install -D -m 0444 "$2" "$out/share/zsh/site-functions/_$command" ;;
          *) echo "installShellCompletion: $1?" >&2; exit 1 ;;
        esac
        shift 2
      done
    }
  '';

  rustPackage =
    arguments:
    let
      phase = name: arguments.${name} or "";
      optional = name: lib.optionalString (arguments.${name} or true);
      flags = name: toString (arguments.${name} or [ ]);
      release = "target/${target}/release";
      built =
        build "${arguments.pname}-${arguments.version}" arguments.outputs
          (
            cargo
            // {
              inherit (arguments) src;
              lock = arguments.cargoLock.lockFile;
            }
          )
          ''
            ${functions}
            export HOME=$PWD SOURCE_DATE_EPOCH=315532800
            cp -r "$src" source
            chmod -R u+w source
            cd source
            cmp "$lock" Cargo.lock
            mkdir -p ${cache}
            ln -s ${cache} target
            ${arguments.buildPhase or ''
              rm -rf ${release}-tmp
              cargo build --target ${target} --offline --profile release ${flags "cargoBuildFlags"}
              ${phase "postBuild"}
              mkdir ${release}-tmp
              find ${release} -maxdepth 1 -type f -exec cp -t ${release}-tmp {} +
            ''
            }
            ${optional "doCheck" ''
              cargo test --target ${target} --offline --profile release ${flags "cargoTestFlags"}
            ''}
            ${arguments.installPhase or ''
              mkdir -p $out/bin $lib/lib
              find ${release}-tmp -maxdepth 1 -type f -executable ! -name '*.so' -exec cp -t $out/bin {} +
              find ${release}-tmp -maxdepth 1 \( -name '*.so' -o -name '*.a' \) -exec cp -t $lib/lib {} +
              rmdir --ignore-fail-on-non-empty $out/bin $lib/lib
              ${phase "postInstall"}
            ''
            }
          '';
    in
    built
    // {
      inherit (arguments) meta;
      overrideAttrs = change: rustPackage (arguments // change arguments);
    };

  runCommand =
    name: environment: script:
    build name [ "out" ] environment script;
  text =
    name: content: after:
    runCommand name { inherit content; } ''printf %s "$content" > $out; ${after}'';

  pkgs = {
    inherit lib runCommand;
    stdenv = rec {
      buildPlatform.canExecute = _: true;
      hostPlatform = buildPlatform // {
        rust = {
          rustcTargetSpec = target;
          cargoShortTarget = target;
        };
      };
    };
    callPackage =
      file: arguments:
      let
        function = import file;
      in
      function (builtins.intersectAttrs (builtins.functionArgs function) pkgs // arguments);
    coreutils = runCommand "coreutils" { } "mkdir $out; ln -s /usr/bin $out/bin";
    systemd = pkgs.coreutils;
    rust.envVars.setEnv = "env";
    rustPlatform.buildRustPackage = rustPackage;
    writeText = name: content: text name content "";
    writeShellScript = name: content: text name "#!/bin/bash\n${content}" "chmod 0555 $out";
    formats.toml = _: {
      type = lib.types.anything;
      generate =
        name: value:
        runCommand name { json = builtins.toJSON value; } ''
          PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=${../../machines} python3 -c '
          import json, os
          from driver import product
          print(product.to_toml(json.loads(os.environ["json"])), end="")' > $out
        '';
    };
    mkShell =
      arguments:
      runCommand "nix-shell" {
        inputs = toString (arguments.inputsFrom ++ arguments.packages);
      } "touch $out";

    # All of a VM test but the machines' boot: their configurations, over the stubs of NixOS, with the files in /etc.
    testers.runNixOSTest =
      arguments:
      let
        files =
          name: module:
          let
            inherit
              (lib.evalModules {
                class = "nixos";
                modules = [
                  ./nixos.nix
                  module
                  {
                    _module.args.pkgs = pkgs;
                    networking.hostName = name;
                  }
                ];
              })
              config
              ;
            failed = lib.filter (each: !each.assertion) config.assertions;
          in
          assert lib.assertMsg (failed == [ ]) (toString (map (each: each.message) failed));
          lib.mapAttrsToList (
            path: file: "install -D ${file.source} $out/${name}/${path}"
          ) config.environment.etc;
      in
      runCommand "vm-test-run-${arguments.name}" { script = arguments.testScript; } ''
        mkdir $out
        ${lib.concatStringsSep "\n" (lib.concatLists (lib.mapAttrsToList files arguments.nodes))}
        python3 -c 'import os; compile(os.environ["script"], "script", "exec")'
      '';
  }
  // lib.genAttrs [ "clippy" "deadnix" "installShellFiles" "nixfmt" "nixfmt-tree" "rustfmt" ] (
    name: runCommand name { } "touch $out"
  );
in
pkgs
