# The options of NixOS that the module sets or reads, with NixOS' names and types (as of 25.05), and the two things NixOS
# makes of them that the module relies on: the order of nsswitch.conf's line, and units as drop-ins.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  ofType = type: default: mkOption { inherit type default; };

  unitName = types.strMatching "[a-zA-Z0-9@%:_.\\-]+[.](service|socket|device|mount|automount|swap|target|path|timer|scope|slice)";
  unitNames = ofType (types.listOf unitName) [ ];
  # A directive has one value, the same wherever it is set, or a list of values, which are put together.
  directive = types.either (types.listOf types.str) (
    types.oneOf [
      types.bool
      types.int
      types.str
      types.package
    ]
  );
  section = ofType (types.attrsOf directive) { };

  unit = {
    enable = ofType types.bool true;
    description = ofType types.singleLineStr "";
    documentation = ofType (types.listOf types.str) [ ];
    after = unitNames;
    before = unitNames;
    requires = unitNames;
    requiredBy = unitNames;
    wantedBy = unitNames;
    wants = unitNames;
    partOf = unitNames;
    unitConfig = section;
    reloadTriggers = ofType (types.listOf types.unspecified) [ ];
    restartTriggers = ofType (types.listOf types.unspecified) [ ];
  };
  service = unit // {
    environment = ofType (types.attrsOf types.str) { };
    notSocketActivated = ofType types.bool false;
    path = ofType (types.listOf types.package) [ ];
    restartIfChanged = ofType types.bool true;
    serviceConfig = section;
    stopIfChanged = ofType types.bool true;
  };
  socket = unit // {
    listenDatagrams = ofType (types.listOf types.str) [ ];
    listenStreams = ofType (types.listOf types.str) [ ];
    socketConfig = section;
  };
  units = options: ofType (types.attrsOf (types.submodule { inherit options; })) { };
in
{
  options = {
    assertions = ofType (types.listOf types.unspecified) [ ];
    warnings = ofType (types.listOf types.str) [ ];

    environment.etc = mkOption {
      default = { };
      type = types.attrsOf (
        types.submodule (
          { config, name, ... }:
          {
            options = {
              enable = ofType types.bool true;
              group = ofType types.str "root";
              mode = ofType types.str "symlink";
              source = mkOption { type = types.path; };
              target = ofType types.str name;
              text = ofType (types.nullOr types.lines) null;
              user = ofType types.str "root";
            };
            config.source = lib.mkIf (config.text != null) (
              pkgs.writeText "etc-${lib.replaceStrings [ "/" ] [ "-" ] name}" config.text
            );
          }
        )
      );
    };
    environment.systemPackages = ofType (types.listOf types.package) [ ];

    networking = {
      domain = ofType (types.nullOr types.str) null;
      firewall = {
        allowedUDPPorts = ofType (types.listOf types.port) [ ];
        enable = ofType types.bool true;
        interfaces = ofType (types.attrsOf (
          types.submodule {
            options.allowedUDPPorts = ofType (types.listOf types.port) [ ];
          }
        )) { };
      };
      hostName = ofType types.str "nixos";
      interfaces = ofType (types.attrsOf (
        types.submodule {
          options = lib.genAttrs [ "ipv4" "ipv6" ] (_: {
            addresses = ofType (types.listOf (
              types.submodule {
                options = {
                  address = mkOption { type = types.str; };
                  prefixLength = mkOption { type = types.ints.between 0 128; };
                };
              }
            )) [ ];
          });
        }
      )) { };
      useDHCP = ofType types.bool true;
    };

    services.nscd.enable = ofType types.bool true;
    services.nscd.enableNsncd = ofType types.bool true;
    services.resolved.enable = ofType types.bool false;

    system.nssDatabases.hosts = ofType (types.listOf types.str) [ ];
    system.nssModules = ofType (types.listOf types.path) [ ] // {
      apply = list: {
        inherit list;
        path = lib.makeLibraryPath list;
      };
    };

    systemd = {
      package = ofType types.package pkgs.systemd;
      packages = ofType (types.listOf types.package) [ ];
      services = units service;
      sockets = units socket;
    };

    users.groups = ofType (types.attrsOf (
      types.submodule {
        options.members = ofType (types.listOf types.str) [ ];
      }
    )) { };
    users.users = ofType (types.attrsOf (
      types.submodule {
        options = {
          description = ofType types.str "";
          group = ofType types.str "";
          isNormalUser = ofType types.bool false;
          isSystemUser = ofType types.bool false;
        };
      }
    )) { };

    virtualisation.interfaces = ofType (types.attrsOf (
      types.submodule {
        options = {
          assignIP = ofType types.bool false;
          vlan = mkOption { type = types.ints.unsigned; };
        };
      }
    )) { };
    virtualisation.vlans = ofType (types.listOf types.ints.unsigned) [ 1 ];
  };

  config.system.nssDatabases.hosts = lib.mkMerge [
    (lib.mkOrder 400 [ "mymachines" ])
    (lib.mkIf config.services.resolved.enable (lib.mkOrder 501 [ "resolve [!UNAVAIL=return]" ]))
    (lib.mkOrder 998 [ "files" ])
    (lib.mkOrder 999 [ "myhostname" ])
    (lib.mkOrder 1499 [ "dns" ])
  ];
  config.assertions = [
    {
      assertion = config.system.nssModules.path != "" -> config.services.nscd.enable;
      message = "NixOS: system.nssModules needs services.nscd.enable";
    }
    {
      assertion = lib.all (user: (user.isNormalUser != user.isSystemUser) && user.group != "") (
        lib.attrValues config.users.users
      );
      message = "NixOS: a user is either isNormalUser or isSystemUser, and has a group";
    }
  ];
}
