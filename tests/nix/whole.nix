# Whole NixOS systems with the module in them, from NixOS' own modules: machines, and those of the VM tests as NixOS' own test
# framework makes them. Only the packages are stubs. `nixos` is nixpkgs' folder of that name, and `names` a file with what its
# modules take from `pkgs`.
{
  libPath,
  nixos,
  names,
}:
let
  lib = import libPath;
  pkgs = import ./stubs/anything.nix {
    inherit lib;
    names = builtins.fromJSON (builtins.readFile names);
  };

  # In the place of NixOS' own way to a package set, which needs all of nixpkgs.
  packages = {
    disabledModules = [ "misc/nixpkgs.nix" ];
    config._module.args.pkgs = lib.mkForce pkgs;
    options.nixpkgs = lib.genAttrs [
      "buildPlatform"
      "config"
      "crossSystem"
      "hostPlatform"
      "localSystem"
      "overlays"
      "pkgs"
      "system"
    ] (_: lib.mkOption { default = { }; });
  };
  # What NixOS asks of every machine; and no manual, which is made from the package set.
  machine = {
    boot.loader.grub.enable = false;
    documentation.nixos.enable = false;
    fileSystems."/".device = "/dev/vda";
    system.stateVersion = "25.05";
  };
  said = config: {
    failed = map (each: each.message) (lib.filter (each: !each.assertion) config.assertions);
    inherit (config) warnings;
  };
  evaluate =
    modules:
    (import (nixos + "/lib/eval-config.nix") {
      inherit lib;
      system = null;
      modules = [
        packages
        machine
      ]
      ++ modules;
    }).config;
  lookups = config: {
    nsswitch = config.environment.etc."nsswitch.conf".text;
    nscd = config.systemd.services.nscd.environment.LD_LIBRARY_PATH;
  };
in
{
  system =
    modules:
    let
      config = evaluate ([ ../../nixos-module ] ++ modules);
      units = lib.filterAttrs (name: _: lib.hasPrefix "data-mesher" name) config.systemd.units;
    in
    said config
    // lookups config
    // {
      # All that a machine is made of is evaluated for this path.
      system = toString config.system.build.toplevel;
      configuration = toString config.environment.etc."data-mesher/config.toml".source;
      firewall = config.networking.firewall.allowedUDPPorts;
      user = { inherit (config.users.users.data-mesher) group isSystemUser; };
      units = lib.mapAttrs (_: unit: unit.text) units;
      strategy = lib.mapAttrs (_: unit: unit.overrideStrategy) units;
      wanted = lib.mapAttrs (_: unit: { inherit (unit) wantedBy requiredBy; }) units;
    };

  # What docs/nixos.md has in a container of a machine's: the mount, seen from the machine, and the container's own system.
  container =
    written:
    let
      host = import written {
        data-mesher.packages.x86_64-linux.nss-mesher =
          (pkgs.callPackage ../../nixos-module/package.nix { }).lib;
      };
      config = evaluate [
        host.containers.web.config
        { boot.isContainer = true; }
      ];
    in
    said config
    // lookups config
    // {
      mounts = lib.mapAttrs (_: mount: { inherit (mount) hostPath isReadOnly mountPoint; }) (
        (evaluate [ host ]).containers.web.bindMounts
      );
    };

  tests =
    let
      nodes = import ./vm-tests.nix {
        inherit lib pkgs;
        want = "nodes";
        data-mesher = pkgs.callPackage ../../nixos-module/package.nix { };
        nixosModule = ../../nixos-module;
      };
      test =
        name: machines:
        ((import (nixos + "/lib") { inherit lib; }).evalTest {
          inherit name;
          hostPkgs = pkgs;
          nodes = machines;
          testScript = "";
          extraBaseModules = packages;
        }).config.nodes;
      node =
        config:
        said config
        // {
          inherit (config.networking) extraHosts hosts;
          addresses = map (each: "${each.address}/${toString each.prefixLength}") (
            config.networking.interfaces.eth1.ipv4.addresses ++ config.networking.interfaces.eth1.ipv6.addresses
          );
        };
    in
    lib.mapAttrs (name: machines: lib.mapAttrs (_: node) (test name machines)) nodes;
}
