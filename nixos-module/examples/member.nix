# A further machine: it knows the network's id, one address to begin with, and has a copy of the secret, put there by
# whatever the other secrets of the machine come with (sops-nix, agenix, scp).
{
  networking.hostName = "beta";

  services.data-mesher = {
    enable = true;
    openFirewall = true;
    secretFile = "/run/secrets/mesh";
    settings = {
      network.id = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
      host.names = [
        "mars"
        "jupiter"
      ];
      host.interfaces = [ "eth1" ];
      cluster.bootstrap_nodes = [ "192.168.1.1" ];
    };
  };
}
