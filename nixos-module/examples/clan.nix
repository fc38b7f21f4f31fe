# For fleets that share one file, as Clan's services do: every machine imports this, and is told apart by its host name.
# The network is made once, by `mesherctl network init --domain sol --out .` on the administrator's machine; its id and its
# signed settings are no secrets and lie beside this file, the secret is a var of the fleet.
{
  config,
  lib,
  ...
}:
let
  machines = {
    alpha = {
      names = [
        "mercury"
        "venus"
        "earth"
      ];
      addresses = [ "fd42::1" ];
    };
    beta = {
      names = [ "mars" ];
      addresses = [ "fd42::2" ];
    };
  };
  own = machines.${config.networking.hostName};
in
{
  services.data-mesher = {
    enable = true;
    # clan.core.vars.generators.mesh.files.secret.path
    secretFile = "/run/secrets/vars/mesh/secret";
    settings = {
      network.id = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
      network.settings_file = lib.mkIf (
        config.networking.hostName == "alpha"
      ) "/etc/mesh/network.settings";
      host = own;
      cluster.bootstrap_nodes = lib.concatMap (machine: machine.addresses) (lib.attrValues machines);
    };
  };

  # Towards the mesh only.
  networking.firewall.interfaces.wg0.allowedUDPPorts = [
    config.services.data-mesher.settings.cluster.port
  ];
}
