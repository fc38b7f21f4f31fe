# The module's options, for the reference in docs/nixos-options.md.
{ libPath }:
let
  lib = import libPath;
  pkgs = import ./stubs/pkgs.nix { inherit lib; };
  evaluated = lib.evalModules {
    class = "nixos";
    modules = [
      ./stubs/nixos.nix
      ../../nixos-module
      { _module.args.pkgs = pkgs; }
    ];
  };
  ours = lib.filter (
    option: lib.hasPrefix "services.data-mesher." option.name && option.visible && !option.internal
  ) (lib.optionAttrSetToDocList evaluated.options);
  text = value: if value == null then null else value.text or (toString value);
in
map (option: {
  inherit (option) name type;
  description = text (option.description or null);
  default = text (option.default or null);
  example = text (option.example or null);
}) ours
