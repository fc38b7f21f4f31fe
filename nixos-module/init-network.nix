# Makes a network on the first of its machines, when that starts for the first time. The id is not known before, so the
# configuration is completed on the machine.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.data-mesher;
  init = cfg.initNetwork;
  # What `externalPath` of newer libs is; NixOS 25.05 has no such name.
  externalPath = types.pathWith {
    absolute = true;
    inStore = false;
  };

  runtimeDirectory = "/run/data-mesher-network";
  mesherctl = lib.getExe' cfg.package "mesherctl";
  # A key that is nobody's takes the id's place, so that the configuration can be checked when the system is built.
  placeholder = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";

  make = pkgs.writeShellScript "data-mesher-make-network" ''
    set -euo pipefail
    directory=${lib.escapeShellArg init.directory}
    if [ ! -e "$directory/network.settings" ]; then
      ${mesherctl} network init --domain ${lib.escapeShellArg init.domain} \
        --claim-ttl ${lib.escapeShellArg init.claimTTL} --out "$directory"
    fi
    id=$(${mesherctl} network show --dir "$directory" | sed -n 's/^network *//p')
    # The daemon never sees the directory, which holds the network's private key.
    install -m 0644 "$directory/network.settings" ${runtimeDirectory}/network.settings
    sed "s|${placeholder}|$id|" ${cfg.configFile} > ${runtimeDirectory}/config.toml.new
    chmod 0644 ${runtimeDirectory}/config.toml.new
    mv ${runtimeDirectory}/config.toml.new ${runtimeDirectory}/config.toml
    echo "The network's id is $id; its secret is $directory/network.secret."
  '';
in
{
  options.services.data-mesher.initNetwork = {
    enable = lib.mkEnableOption ''
      making a network on this machine when it starts for the first time. Its id is then in the journal of
      `data-mesher-network.service`, for the configurations of the other machines; they need a copy of its secret, too'';

    domain = mkOption {
      type = types.strMatching "[a-zA-Z0-9_-]+(\\.[a-zA-Z0-9_-]+)*";
      example = "sol";
      description = "What all names of the network live under.";
    };

    claimTTL = mkOption {
      type = types.strMatching "[0-9]+(ms|s|m|h|d)";
      default = "24h";
      example = "7d";
      description = "How long a machine that is away keeps its names.";
    };

    directory = mkOption {
      type = externalPath;
      default = "/var/lib/data-mesher-network";
      description = ''
        Where the network's files are made: `network.key`, which signs settings and certificates and should be moved to a
        safe place, `network.secret` and `network.settings`. As long as the latter is there, nothing is made anew.
      '';
    };
  };

  config = lib.mkIf (cfg.enable && init.enable) {
    assertions = [
      {
        assertion = cfg.settings.network.id == null && cfg.settings.network.settings_file == null;
        message = ''
          services.data-mesher.initNetwork.enable makes a network on this machine, but settings.network names one that is
          there already: set one or the other.
        '';
      }
    ];

    services.data-mesher = {
      secretFile = lib.mkDefault "${init.directory}/network.secret";
      finalSettings.network = {
        id = placeholder;
        settings_file = "${runtimeDirectory}/network.settings";
      };
    };

    environment.etc."data-mesher/config.toml".source = "${runtimeDirectory}/config.toml";

    systemd.services.data-mesher-network = {
      description = "Decentralised host naming: the network of this machine";
      before = [ "data-mesher.service" ];
      # When this starts anew, because the configuration has changed, so does the daemon.
      requiredBy = [ "data-mesher.service" ];
      stopIfChanged = false;
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = make;
        UMask = "0077";
        RuntimeDirectory = "data-mesher-network";
        RuntimeDirectoryMode = "0755";
        RuntimeDirectoryPreserve = true;
      };
    };
  };
}
