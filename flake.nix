{
  description = "data-mesher: the machines of a mesh find each other by name, with no server";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      forEachSystem =
        make:
        lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (
          system: make system nixpkgs.legacyPackages.${system}
        );
    in
    {
      packages = forEachSystem (
        _: pkgs: rec {
          data-mesher = pkgs.callPackage ./nixos-module/package.nix { };
          # Nothing but the NSS module.
          nss-mesher = data-mesher.lib;
          default = data-mesher;
        }
      );

      overlays.default = final: _: { data-mesher = final.callPackage ./nixos-module/package.nix { }; };

      nixosModules.data-mesher = {
        imports = [ ./nixos-module ];
      };
      nixosModules.default = self.nixosModules.data-mesher;

      checks = forEachSystem (
        system: pkgs:
        import ./tests/nix/flake-checks.nix {
          inherit pkgs;
          inherit (self.packages.${system}) data-mesher;
        }
        // import ./tests/nix/vm-tests.nix {
          inherit lib pkgs;
          inherit (self.packages.${system}) data-mesher;
          nixosModule = self.nixosModules.default;
        }
      );

      devShells = forEachSystem (
        system: pkgs: {
          default = pkgs.mkShell {
            inputsFrom = [ self.packages.${system}.data-mesher ];
            packages = [
              pkgs.clippy
              pkgs.deadnix
              pkgs.nixfmt
              pkgs.rustfmt
            ];
          };
        }
      );

      formatter = forEachSystem (_: pkgs: pkgs.nixfmt-tree);
    };
}
