# services.data-mesher: the daemon, its socket, and the NSS module in front of everything that looks up a host.
#
#   default.nix       the options, and what must hold between them
#   settings.nix      the daemon's configuration file, as options
#   units.nix         configuration, units, user, firewall
#   nss.nix           nsswitch.conf and the module that it names
#   init-network.nix  making a network on the first of its machines
#   renamed.nix       options of Data Mesher's modules, and where they went
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.data-mesher;
  # What `externalPath` of newer libs is; NixOS 25.05 has no such name.
  externalPath = types.pathWith {
    absolute = true;
    inStore = false;
  };
in
{
  imports = [
    ./settings.nix
    ./units.nix
    ./nss.nix
    ./init-network.nix
    ./renamed.nix
  ];

  options.services.data-mesher = {
    enable = lib.mkEnableOption "data-mesher, host naming for the machines of a mesh, with no server";

    package = mkOption {
      type = types.package;
      default = pkgs.callPackage ./package.nix { };
      defaultText = lib.literalExpression "pkgs.callPackage ./package.nix { }";
      description = "The package with daemon, control tool and units, and with the NSS module in its output `lib`.";
    };

    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether to open the gossip port, `settings.cluster.port`, on all interfaces. To open it only towards the mesh,
        leave this off and set {option}`networking.firewall.interfaces.<name>.allowedUDPPorts`.
      '';
    };

    secretFile = mkOption {
      type = externalPath;
      default = "/etc/data-mesher/network.secret";
      example = lib.literalExpression "config.sops.secrets.network-secret.path";
      description = ''
        The file with the network secret, on the machine. systemd reads it as root and hands the daemon a copy, so it can
        be root's alone, and it may appear as late as the service starts. A new content takes
        `systemctl reload data-mesher`. A path into the Nix store, which everybody can
        read, is refused.
      '';
    };

    certificateFile = mkOption {
      type = types.nullOr externalPath;
      default = null;
      example = "/var/lib/secrets/host.cert";
      description = ''
        The file with this machine's certificate, for a network with `admission = certified`, where root alone can read
        it: it is handed over as {option}`services.data-mesher.secretFile` is, and a new one takes a restart. With `null`
        it is `/etc/data-mesher/host.cert`, if that is there when the service starts. For a certificate that is renewed
        while the daemon runs, set {option}`services.data-mesher.settings.host.certificate_file` instead.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.initNetwork.enable || cfg.settings.network.id != null;
        message = ''
          services.data-mesher.settings.network.id is not set: it says which network this machine belongs to. Put there
          what `mesherctl network init` printed last. To make the network on this machine instead, set
          services.data-mesher.initNetwork.enable and initNetwork.domain.
        '';
      }
      {
        assertion = !(cfg.settings.network ? secret_file);
        message = ''
          services.data-mesher.settings.network.secret_file has no effect here: the secret reaches the daemon as a
          credential, and the key follows that. Set services.data-mesher.secretFile instead.
        '';
      }
      {
        assertion =
          cfg.settings.host.names == null || cfg.settings.host.names == lib.unique cfg.settings.host.names;
        message = "services.data-mesher.settings.host.names holds a name twice: ${toString cfg.settings.host.names}";
      }
    ];
  };
}
