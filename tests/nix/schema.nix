# Whether the types of settings.nix take values: `candidates` is a file with a JSON list of { key, value }, and what comes out
# is a list of booleans.
{
  libPath ? null,
  candidates,
}:
let
  little = libPath == null;
  lib = if little then import ./stubs/little-lib.nix else import libPath;
  # Types that can be looked into.
  open = lib // {
    types = lib.types // {
      submodule = arguments: lib.types.submodule arguments // { inherit (arguments) options; };
    };
  };
  settings =
    (import ../../nixos-module/settings.nix {
      lib = open;
      config.networking.hostName = "alpha";
      pkgs.formats.toml = _: { type = lib.types.anything; };
    }).options.services.data-mesher.settings;
  keys =
    prefix: options:
    builtins.concatMap (
      name:
      if options.${name}.type ? options then
        keys "${prefix}${name}." options.${name}.type.options
      else
        [
          {
            name = prefix + name;
            value = options.${name};
          }
        ]
    ) (builtins.attrNames options);
  options = builtins.listToAttrs (keys "" settings.type.options);

  takes =
    option: value:
    if little then
      option.type.check value
    else
      let
        evaluated = lib.evalModules {
          modules = [
            { options.here = option; }
            { config.here = lib.mkForce value; }
          ];
        };
      in
      (builtins.tryEval (builtins.deepSeq evaluated.config.here true)).success;
in
{
  keys = builtins.attrNames options;
  taken = map ({ key, value }: takes options.${key} value) (
    builtins.fromJSON (builtins.readFile candidates)
  );
}
