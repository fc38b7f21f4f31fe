# What `nix flake check` builds beside the machines: the package, and what CI holds the sources to.
{ pkgs, data-mesher }:
let
  # The same build environment, with its vendored dependencies, for another command than a build.
  cargo =
    name: tools: command:
    data-mesher.overrideAttrs (old: {
      pname = "data-mesher-${name}";
      outputs = [ "out" ];
      nativeBuildInputs = old.nativeBuildInputs ++ tools;
      buildPhase = command;
      doCheck = false;
      postBuild = "";
      postInstall = "";
      installPhase = "touch $out";
    });
  sources =
    name: tool: command:
    pkgs.runCommand "data-mesher-${name}" { nativeBuildInputs = [ tool ]; } ''
      cd ${../..}
      # Files, not folders: nixfmt is about to take no folders any more.
      find flake.nix nixos-module tests/nix -name '*.nix' -exec ${command} {} +
      touch $out
    '';
in
{
  package = data-mesher;
  clippy = cargo "clippy" [
    pkgs.clippy
  ] "cargo clippy --workspace --all-targets --offline -- --deny=warnings";
  rustfmt = cargo "rustfmt" [ pkgs.rustfmt ] "cargo fmt --all --check";
  nixfmt = sources "nixfmt" pkgs.nixfmt "nixfmt --check";
  deadnix = sources "deadnix" pkgs.deadnix "deadnix --fail";
}
