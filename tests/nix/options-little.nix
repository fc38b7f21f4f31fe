# The module's options with their descriptions, without nixpkgs: over as much of its lib as the checks that run everywhere have.
let
  little = import ./stubs/little-lib.nix;
  option = arguments: arguments // { isOption = true; };
  lib = little // {
    mkOption = option;
    mkEnableOption = name: option { description = "Whether to enable ${name}."; };
  };
  arguments = {
    inherit lib;
    config = {
      networking.hostName = "alpha";
      services.resolved.enable = false;
      services.data-mesher = { };
    };
    pkgs = {
      callPackage = _: _: { };
      formats.toml = _: { type = lib.types.anything; };
    };
  };
  declared = map (file: (import file arguments).options.services.data-mesher) [
    ../../nixos-module/default.nix
    ../../nixos-module/init-network.nix
    ../../nixos-module/nss.nix
    ../../nixos-module/settings.nix
    ../../nixos-module/units.nix
  ];
  walk =
    name: set:
    if !set ? isOption then
      builtins.concatMap (each: walk "${name}.${each}" set.${each}) (builtins.attrNames set)
    else if set.internal or false then
      [ ]
    else
      [
        {
          inherit name;
          description = set.description or "";
        }
      ]
      ++ (if set.type or { } ? options then walk name set.type.options else [ ]);
in
builtins.concatMap (walk "services.data-mesher") declared
