# The daemon's units are the package's own, the same files as everywhere; what this machine adds becomes drop-ins.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.data-mesher;
  inherit (cfg.settings)
    cluster
    exports
    host
    network
    ;

  rendered = (pkgs.formats.toml { }).generate "data-mesher.toml" cfg.finalSettings;
  canCheck = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;

  # A wrong configuration fails the build, with the daemon's own words, instead of the daemon.
  checked =
    if canCheck then
      pkgs.runCommand "data-mesher-checked.toml" { } ''
        ${lib.getExe' cfg.package "mesherctl"} config check ${rendered}
        cp ${rendered} $out
      ''
    else
      rendered;

  # What a running daemon does not take from a reload; the port is the socket's, below.
  needsRestart = builtins.toJSON [
    network.id
    host.label
    cluster.gossip_interval
  ];

  # Where exports go that the unit's own sandbox does not let through. One that is not there (-) must not keep names away.
  exportFolders = lib.unique (
    map (file: "-${dirOf file}") (
      lib.filter (file: file != null && !lib.hasPrefix "/run/data-mesher/" file) (lib.attrValues exports)
    )
  );

  datagramAddress =
    if cluster.bind == null then
      toString cluster.port
    else if lib.hasInfix ":" cluster.bind then
      "[${cluster.bind}]:${toString cluster.port}"
    else
      "${cluster.bind}:${toString cluster.port}";
  listensElsewhere = datagramAddress != "7946";

  # systemd's catalogue of journal messages, and the package's.
  catalogues = pkgs.runCommand "journal-catalogues" { } ''
    mkdir $out
    ln -s ${config.systemd.package}/lib/systemd/catalog/*.catalog ${cfg.package}/lib/systemd/catalog/*.catalog $out
  '';
in
{
  options.services.data-mesher = {
    finalSettings = lib.mkOption {
      type = lib.types.attrsOf lib.types.anything;
      default = { };
      internal = true;
      description = "The settings as they go into the configuration file.";
    };
    configFile = lib.mkOption {
      type = lib.types.path;
      internal = true;
      default = checked;
      description = "The configuration file, found right by the daemon's own parser.";
    };
  };

  config = lib.mkIf cfg.enable {
    services.data-mesher.finalSettings = lib.mkMerge [
      (lib.filterAttrsRecursive (_: value: value != null) cfg.settings)
      # The daemon has the credential. This is for `mesherctl reload`, which brings a new content along.
      { network.secret_file = lib.mkForce cfg.secretFile; }
    ];
    environment.etc."data-mesher/config.toml".source = lib.mkDefault cfg.configFile;
    # mesherctl.
    environment.systemPackages = [ cfg.package ];

    users.users.data-mesher = {
      isSystemUser = true;
      group = "data-mesher";
      description = "Decentralised host naming";
    };
    # Its members may change things through the control socket.
    users.groups.data-mesher = { };

    networking.firewall.allowedUDPPorts = lib.mkIf cfg.openFirewall [ cluster.port ];

    systemd.packages = [ cfg.package ];

    systemd.services.data-mesher = {
      # NixOS ignores [Install]. The socket comes with the service, by its Requires=; wanting it from sockets.target would
      # keep it open after the service was stopped.
      wantedBy = [ "multi-user.target" ];
      # Of itself a switch would stop the service, activate the new system for some seconds, and start the socket again:
      # all names gone meanwhile. A plain restart keeps the sockets and the table.
      stopIfChanged = false;
      # The daemon takes a new configuration without a restart, but for what does need one.
      reloadTriggers = lib.mkIf (!cfg.initNetwork.enable) [ cfg.configFile ];
      restartTriggers = [ needsRestart ];
      serviceConfig = {
        LoadCredential = [
          "network.secret:${cfg.secretFile}"
        ]
        ++ lib.optional (cfg.certificateFile != null) "host.cert:${cfg.certificateFile}";
        ReadWritePaths = lib.mkIf (exportFolders != [ ]) exportFolders;
      };
    };

    systemd.sockets.data-mesher = lib.mkIf listensElsewhere {
      # The empty string takes back all that the unit listens on, the control socket included.
      listenDatagrams = [ datagramAddress ];
      listenStreams = [
        ""
        "/run/data-mesher/mesherd.sock"
      ];
    };

    # A switch never restarts a socket unit, so a new port would not be listened on until the next boot. This unit does
    # nothing at boot; when the address changes, it is reloaded, and with the socket the daemon restarts.
    systemd.services.data-mesher-port = {
      description = "Decentralised host naming: follow a change of the gossip port";
      wantedBy = [ "multi-user.target" ];
      reloadTriggers = [ datagramAddress ];
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = lib.getExe' pkgs.coreutils "true";
        ExecReload = "${lib.getExe' config.systemd.package "systemctl"} try-restart data-mesher.socket";
      };
    };

    # What `journalctl -x` explains messages with is compiled from systemd's own catalogue alone, of all packages on NixOS.
    systemd.services.data-mesher-catalogue = {
      description = "Decentralised host naming: explain its messages in the journal";
      wantedBy = [ "multi-user.target" ];
      # Which compiles the same file anew after some updates.
      after = [ "systemd-journal-catalog-update.service" ];
      environment.SYSTEMD_CATALOG_SOURCES = "${catalogues}";
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${lib.getExe' config.systemd.package "journalctl"} --update-catalog";
      };
    };
  };
}
