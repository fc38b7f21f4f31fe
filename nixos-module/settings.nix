# The daemon's configuration file as options. The authority for keys and types is mesher_config's schema, described in
# docs/configuration.md; a test holds the three together. Every option but the port has null for "as the daemon has it".
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  # What `externalPath` of newer libs is; NixOS 25.05 has no such name.
  externalPath = types.pathWith {
    absolute = true;
    inStore = false;
  };

  # A type that takes what `pattern` matches, with words of our own for what it is.
  matching =
    what: pattern:
    types.addCheck types.str (text: builtins.match pattern text != null)
    // {
      name = "matching";
      description = what;
      descriptionClass = "nonRestrictiveClause";
    };

  label = "[a-zA-Z0-9]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9])?";
  # The daemon has the last word on lengths and ranges: the built configuration is checked with its own parser.
  labelType = matching "one label of a host name" label;
  nameType = matching "host name, or *. and a host name" "(\\*\\.)?${label}(\\.${label})*";
  addressType = matching "IPv4 or IPv6 address" "[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*";
  durationType = matching "duration such as 500ms, 10s, 5m, 24h or 7d" "[0-9]+(ms|s|m|h|d)";
  # With or without a port; an IPv6 address in brackets, where it has a port or a scope.
  nodeType =
    let
      port = "(:[0-9]{1,5})?";
    in
    matching "address or DNS name, with a port or without" "[a-zA-Z0-9_.-]+${port}|\\[[0-9a-fA-F:.]+(%[^/[:space:]]+)?]${port}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*";
  interfaceType = matching "interface name" "[^/[:space:]]{1,127}";
  # 32 bytes, of which the last character before the padding carries four bits. A line read from a file ends in a newline.
  idType = matching "network id: 32 bytes in base64" "[[:space:]]*[a-zA-Z0-9+/]{42}[AEIMQUYcgkosw048]=[[:space:]]*";

  optional =
    type: arguments:
    mkOption (
      {
        type = types.nullOr type;
        default = null;
      }
      // arguments
    );

  toml = (pkgs.formats.toml { }).type;
  section =
    options:
    mkOption {
      type = types.submodule {
        freeformType = toml;
        inherit options;
      };
      default = { };
      description = "A section of the configuration file.";
    };

  network = {
    id = optional idType {
      example = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
      description = ''
        The network's public key, as `mesherctl network init` prints it. Must be given, except with
        {option}`services.data-mesher.initNetwork.enable`.
      '';
    };
    settings_file = optional types.path {
      example = lib.literalExpression "./network.settings";
      description = ''
        Signed settings that this machine brings into the network; needed on one machine only. They are no secret: a path
        in the flake, which ends up in the Nix store, is fine.
      '';
    };
  };

  host = {
    label = mkOption {
      type = types.nullOr labelType;
      default = if config.networking.hostName == "" then null else config.networking.hostName;
      defaultText = lib.literalExpression "config.networking.hostName";
      description = "What this machine is called in status and logs.";
    };
    names = optional (types.listOf nameType) {
      example = [
        "earth"
        "grafana.earth"
        "*.earth"
      ];
      description = "The names this machine claims, relative to the network's domain or in full.";
    };
    interfaces = optional (types.listOf interfaceType) {
      example = [ "wg0" ];
      description = ''
        The interfaces whose addresses are announced; they may appear later. With neither this nor `addresses`, those of
        all interfaces but loopback ones and those of container and virtual machine managers.
      '';
    };
    addresses = optional (types.listOf addressType) {
      example = [
        "192.168.1.1"
        "2001:db8:1::1"
      ];
      description = "Addresses to announce beside, or instead of, the interfaces'.";
    };
    link_local = optional types.bool {
      description = "Whether to announce the interfaces' link-local addresses too (the daemon's default: no).";
    };
    certificate_file = optional externalPath {
      example = "/var/lib/mesh/host.cert";
      description = ''
        This machine's certificate, as a file that the daemon reads itself and takes up as it changes, so one that the user
        `data-mesher` can read; a certificate is no secret. With `null` it is `/etc/data-mesher/host.cert`, if that is
        there. Beside {option}`services.data-mesher.certificateFile` the one that was signed later counts.
      '';
    };
  };

  cluster = {
    port = mkOption {
      type = types.addCheck types.port (port: port != 0) // {
        description = "UDP port, from 1 to 65535";
      };
      default = 7946;
      description = "The UDP port to gossip on. The socket unit and {option}`services.data-mesher.openFirewall` follow it.";
    };
    bind = optional addressType {
      description = "The address to gossip on. The socket unit follows it. With `null` all, IPv6 and IPv4.";
    };
    bootstrap_nodes = optional (types.listOf nodeType) {
      example = [
        "192.168.1.1:7946"
        "[2001:db8:1::1]:7946"
        "gateway.example.org"
      ];
      description = ''
        Whom to ask first: addresses or DNS names, with a port unless it is the same as this machine's. This machine may
        be among them, so the list can be the same everywhere.
      '';
    };
    gossip_interval = optional durationType {
      description = "Time between two gossip rounds of a small network, from `20ms` to `1m` (the daemon's default: `1s`).";
    };
    join_timeout = optional durationType {
      description = ''
        How long a start waits for a peer before it claims its names alone, up to `10m` (the daemon's default: `5s`).
      '';
    };
  };

  nss = {
    short_names = optional types.bool {
      description = "Whether `earth` is answered as well as `earth.sol` (the daemon's default: no).";
    };
    contain = optional types.bool {
      description = ''
        Whether a name under the network's domain that nobody holds ends the lookup, instead of being asked of DNS (the
        daemon's default: no).
      '';
    };
  };

  exportTo =
    example: what:
    optional externalPath {
      inherit example;
      description = "${what} Elsewhere than below `/run/data-mesher`, the folder must be there when the service starts, and the user `data-mesher` must be able to write to it.";
    };
  exports = {
    json_lines = exportTo "/run/data-mesher/exports/names.json" "A file with one JSON object a name, kept up to date for programs that do not use NSS.";
    hosts = exportTo "/run/data-mesher/exports/hosts" "A file in the form of hosts(5).";
    zone = exportTo "/run/data-mesher/exports/zone" "A DNS zone file, which unbound, CoreDNS and BIND read.";
    metrics = exportTo "/run/data-mesher/mesher.prom" "The metrics in Prometheus' text format, for node_exporter's textfile collector.";
  };
in
{
  options.services.data-mesher.settings = mkOption {
    type = types.submodule {
      freeformType = toml;
      options = {
        log_level = optional (types.enum [
          "error"
          "warn"
          "info"
          "debug"
          "trace"
        ]) { description = "The least severe messages to write (the daemon's default: `info`)."; };
        network = section network;
        host = section host;
        cluster = section cluster;
        nss = section nss;
        exports = section exports;
      };
    };
    default = { };
    example = lib.literalExpression ''
      {
        network.id = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
        host.names = [ "earth" ];
        host.interfaces = [ "wg0" ];
        cluster.bootstrap_nodes = [ "192.168.1.1" ];
      }
    '';
    description = ''
      The daemon's configuration, as its file has it. Keys that are no options here are passed on as they are; the build of
      the system fails, and names the nearest known key, if the daemon does not know them.
    '';
  };
}
