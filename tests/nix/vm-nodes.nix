# What the VM tests make of every scenario: each machine's configuration, evaluated over the stubs, for comparison with what
# the project's own driver makes of the same files.
{ libPath }:
let
  lib = import libPath;
  pkgs = import ./stubs/pkgs.nix { inherit lib; };
  tests =
    want:
    import ./vm-tests.nix {
      inherit lib pkgs want;
      data-mesher = pkgs.callPackage ../../nixos-module/package.nix { };
      nixosModule = ../../nixos-module;
    };
  machine =
    name: module:
    let
      inherit
        (lib.evalModules {
          class = "nixos";
          modules = [
            ./stubs/nixos.nix
            module
            {
              _module.args.pkgs = pkgs;
              networking.hostName = name;
            }
          ];
        })
        config
        ;
      eth1 = config.networking.interfaces.eth1;
      cfg = config.services.data-mesher or null;
    in
    {
      failed = map (each: each.message) (lib.filter (each: !each.assertion) config.assertions);
      addresses = map (each: "${each.address}/${toString each.prefixLength}") (
        eth1.ipv4.addresses ++ eth1.ipv6.addresses
      );
      inherit (config.virtualisation.interfaces.eth1) assignIP;
      settings = if cfg == null || !cfg.enable then null else cfg.finalSettings;
      wanted = config.systemd.services.data-mesher.wantedBy or [ ];
      etc = lib.mapAttrs (_: file: file.mode) config.environment.etc;
    };
in
{
  nodes = lib.mapAttrs (_: lib.mapAttrs machine) (tests "nodes");
  # The scripts that make the networks.
  networks = lib.mapAttrs (_: network: lib.last network.stub) (tests "networks");
}
