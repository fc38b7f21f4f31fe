# The names of the flake's outputs, two levels down. With nixpkgs' real lib also those of the checks, which are made from
# the scenarios' folder.
{
  libPath ? null,
}:
let
  # All of lib that the flake itself uses.
  little.genAttrs =
    names: value:
    builtins.listToAttrs (
      map (name: {
        inherit name;
        value = value name;
      }) names
    );
  lib = if libPath == null then little else import libPath;
  pkgs =
    (
      if libPath == null then
        { callPackage = _: _: { lib = "lib"; }; }
      else
        import ./stubs/pkgs.nix { inherit lib; }
    )
    // {
      mkShell = arguments: arguments;
      clippy = "clippy";
      deadnix = "deadnix";
      nixfmt = "nixfmt";
      nixfmt-tree = "nixfmt-tree";
      rustfmt = "rustfmt";
    };
  flake = import ../../flake.nix;
  self = flake.outputs {
    inherit self;
    nixpkgs = {
      inherit lib;
      legacyPackages = {
        x86_64-linux = pkgs;
        aarch64-linux = pkgs;
      };
    };
  };
  names = builtins.mapAttrs (_: builtins.attrNames);
in
{
  inputs = builtins.attrNames flake.inputs;
  outputs = builtins.attrNames self;
  packages = names self.packages;
  overlay = builtins.attrNames (self.overlays.default pkgs pkgs);
  nixosModules = builtins.attrNames self.nixosModules;
  devShells = names self.devShells;
  # Forced: an attribute that does not exist is an error here.
  tools = builtins.mapAttrs (_: shells: shells.default.packages) self.devShells;
  inherit (self) formatter;
  # What each check builds, by its name.
  checks =
    if libPath == null then
      null
    else
      builtins.mapAttrs (
        _: builtins.mapAttrs (_: check: builtins.deepSeq (check.stub or null) check.name)
      ) self.checks;
}
