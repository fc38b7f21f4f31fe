# A package set for evaluating whole NixOS systems without nixpkgs' packages: under every name there is something that passes
# for a package, for a function that makes one, and for a set of them. What the module itself takes is as in pkgs.nix.
{
  lib,
  # The names that NixOS' modules take from `pkgs`.
  names,
}:
let
  ours = import ./pkgs.nix { inherit lib; };
  outputs = [
    "bin"
    "dev"
    "doc"
    "lib"
    "man"
    "out"
    "p11kit"
    "su"
  ];
  thing =
    name:
    let
      self = {
        inherit name;
        type = "derivation";
        pname = name;
        version = "6.12";
        outPath = "/nix/store/00000000000000000000000000000000-${name}";
        drvPath = "/nix/store/00000000000000000000000000000000-${name}.drv";
        outputName = "out";
        outputs = [ "out" ];
        meta.mainProgram = name;
        passthru = { };
        features = { };
        shellPath = "/bin/${name}";
        drvAttrs = {
          inherit name;
          system = "x86_64-linux";
          builder = "/bin/sh";
        };
        interfaceVersion = 2;
        compressorExecutableFunction = _: "compressor";
        compressorArgs = [ ];
        modDirVersion = "6.12";
        enabledCryptSchemeIds = [ ];
        # As a function it takes as many arguments as it is given.
        __functor = _: _: self;
      }
      // lib.genAttrs outputs (_: self)
      // lib.genAttrs [
        "callPackage"
        "extend"
        "mkDerivation"
        "override"
        "overrideAttrs"
        "withPackages"
      ] (_: self);
    in
    self;

  platform = lib.systems.elaborate "x86_64-linux" // {
    inherit (ours.stdenv.hostPlatform) rust;
    canExecute = _: true;
    # Where older modules look for it.
    linux-kernel.target = "bzImage";
  };
  stdenv = platform // {
    hostPlatform = platform;
    buildPlatform = platform;
    targetPlatform = platform;
    cc = thing "cc" // {
      libc = thing "libc";
      bintools = thing "bintools";
    };
    shell = thing "shell";
    mkDerivation = made;
  };
  kernel = thing "linux" // {
    config = lib.genAttrs [ "isYes" "isEnabled" "isSet" "isModule" ] (_: _: true);
    kernelAtLeast = _: true;
    kernelOlder = _: false;
  };
  linuxPackages = thing "linux" // {
    inherit kernel stdenv;
    kernelAtLeast = _: true;
    kernelOlder = _: false;
    extend = _: linuxPackages;
  };
  # Who asks for the path of what is built here evaluates all that goes into it.
  made =
    arguments:
    let
      name = arguments.name or arguments.pname or "package";
      parts = builtins.toJSON (
        removeAttrs arguments [
          "meta"
          "passthru"
        ]
      );
      hash = builtins.substring 0 32 (builtins.hashString "sha256" (name + parts));
    in
    thing name
    // {
      passthru = { };
    }
    // arguments
    // arguments.passthru or { }
    // {
      outPath = "/nix/store/${hash}-${name}";
    };
  text = name: content: made { inherit name content; };
  pkgs =
    lib.mapAttrs (name: members: lib.genAttrs members thing // thing name) names.names
    // ours
    // {
      inherit lib stdenv linuxPackages;
      # For everything but our package, whose arguments are all known.
      callPackage =
        file: arguments:
        let
          function = if lib.isFunction file then file else import file;
          wanted = lib.filterAttrs (name: optional: !optional || pkgs ? ${name}) (lib.functionArgs function);
        in
        function (lib.mapAttrs (name: _: pkgs.${name} or (thing name)) wanted // arguments);
      buildPackages = pkgs;
      pkgsStatic = pkgs;
      pkgsi686Linux = pkgs;
      stdenvNoCC = stdenv;
      systemd =
        lib.genAttrs [ "kbd" "kmod" "util-linux" ] thing
        // thing "systemd"
        // lib.genAttrs names.flags (_: true);
      coreutils = thing "coreutils";
      buildEnv = made;
      symlinkJoin = made;
      writeTextFile = made;
      writeText = text;
      writeScript = text;
      writeScriptBin = text;
      writeShellScriptBin = text;
      writeTextDir = _: text "text";
      runCommand =
        name: environment: script:
        made (environment // { inherit name script; });
      runCommandLocal = pkgs.runCommand;
      linuxKernel = {
        inherit kernel;
        packages = { };
      };
      formats =
        lib.genAttrs
          [
            "elixirConf"
            "gitIni"
            "hocon"
            "ini"
            "iniWithGlobalSection"
            "javaProperties"
            "json"
            "keyValue"
            "libconfig"
            "lua"
            "php"
            "pythonVars"
            "xml"
            "yaml"
          ]
          (
            _: _: {
              type = lib.types.attrsOf lib.types.anything;
              generate = text;
              lib = { };
            }
          )
        // ours.formats;
    };
in
pkgs
