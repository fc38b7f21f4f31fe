# Evaluates the module in a configuration, over the stubs, with nixpkgs' real lib. What comes out is what a machine would
# have: read by check.py as JSON.
{
  lib ? import libPath,
  libPath ? null,
  modules,
  crossCompiled ? false,
}:
let
  pkgs = import ./stubs/pkgs.nix { inherit lib crossCompiled; };
  render = import ./stubs/render.nix { inherit lib; };
  evaluated = lib.evalModules {
    class = "nixos";
    modules = [
      ./stubs/nixos.nix
      ../../nixos-module
      { _module.args.pkgs = pkgs; }
    ]
    ++ modules;
  };
  inherit (evaluated) config;
  cfg = config.services.data-mesher;
  units = kind: lib.mapAttrs' (name: unit: lib.nameValuePair "${name}.${kind}" (render.${kind} unit));
  wants =
    kind:
    lib.mapAttrs' (
      name: unit: lib.nameValuePair "${name}.${kind}" { inherit (unit) wantedBy requiredBy; }
    );
in
{
  failed = map (each: each.message) (lib.filter (each: !each.assertion) config.assertions);
  inherit (config) warnings;
  etc = lib.mapAttrs (_: file: toString file.source) config.environment.etc;
  packages = map toString config.systemd.packages;
  programs = map toString config.environment.systemPackages;
  package = toString cfg.package;
  settings = cfg.finalSettings;
  # How the configuration file comes about: the script that checks it, or the plain file.
  configuration = cfg.configFile.stub;
  hosts = config.system.nssDatabases.hosts;
  nss_path = config.system.nssModules.path;
  firewall = config.networking.firewall.allowedUDPPorts;
  users = config.users.users;
  groups = lib.attrNames config.users.groups;
  units = units "service" config.systemd.services // units "socket" config.systemd.sockets;
  wanted = wants "service" config.systemd.services // wants "socket" config.systemd.sockets;
  # The text of scripts that units run.
  scripts = lib.filter (text: text != "") (
    lib.mapAttrsToList (_: unit: unit.serviceConfig.ExecStart.text or "") config.systemd.services
  );
}
