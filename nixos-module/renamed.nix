# Options of Data Mesher's modules: where they went, told to those who still set them.
{ config, lib, ... }:
let
  cfg = config.services.data-mesher;
  at = lib.toList;
  old =
    name:
    [
      "services"
      "data-mesher"
    ]
    ++ at name;
  moved =
    name: target:
    lib.mkChangedOptionModule (old name) (old (at "settings" ++ target)) (
      lib.getAttrFromPath (old name)
    );

  # Keys of settings that no longer are; as the daemon's own keys they would be passed on, and fail the build with less help.
  gone = {
    "state_dir" = "The state is in /var/lib/data-mesher.";
    "host.key_path" =
      "The host's key is made at the first start and kept in /var/lib/data-mesher; an old one cannot be used.";
    "cluster.interface" =
      "Name the interfaces whose addresses are announced in settings.host.interfaces.";
    "cluster.join_interval" = "Bootstrap nodes are tried again for ever, with back-off.";
    "cluster.push_pull_interval" =
      "Changes are pushed at once; settings.cluster.gossip_interval is the time between rounds.";
  };
in
{
  # If nixpkgs has a module for the same daemon's forerunner, this one takes its place.
  disabledModules = [ "services/networking/data-mesher.nix" ];

  imports = [
    (lib.mkRenamedOptionModule
      (old [
        "initNetwork"
        "tld"
      ])
      (old [
        "initNetwork"
        "domain"
      ])
    )
    (lib.mkRenamedOptionModule
      (old [
        "initNetwork"
        "hostTTL"
      ])
      (old [
        "initNetwork"
        "claimTTL"
      ])
    )
    (lib.mkRemovedOptionModule (old [
      "initNetwork"
      "keyPath"
    ]) "The network's key is made in services.data-mesher.initNetwork.directory.")
    (lib.mkRemovedOptionModule
      (old [
        "initNetwork"
        "signingKeys"
      ])
      "A network has one key, which signs its settings and, with `admission = certified`, its hosts' certificates."
    )
    (lib.mkRemovedOptionModule (old "ip") "Name the interfaces whose addresses are announced in settings.host.interfaces, or the addresses in settings.host.addresses.")
    (lib.mkRemovedOptionModule (old "log-level") "It is settings.log_level now: error, warn, info, debug or trace.")
    (moved "bootstrapPeers" [
      "cluster"
      "bootstrap_nodes"
    ])
    (moved "hostnames" [
      "host"
      "names"
    ])
    (moved "port" [
      "cluster"
      "port"
    ])
    (lib.mkRenamedOptionModule (old "tld") (old [
      "initNetwork"
      "domain"
    ]))
  ];

  config = lib.mkIf cfg.enable {
    assertions = lib.mapAttrsToList (key: instead: {
      assertion = !lib.hasAttrByPath (lib.splitString "." key) cfg.settings;
      message = "services.data-mesher.settings.${key} is no longer there. ${instead}";
    }) gone;
  };
}
