# The first machine of a network: it makes the network itself when it starts for the first time. Works at the first rebuild;
# its id is then in the journal: journalctl -u data-mesher-network
{
  networking.hostName = "alpha";

  services.data-mesher = {
    enable = true;
    openFirewall = true;
    initNetwork = {
      enable = true;
      domain = "sol";
    };
    settings.host = {
      names = [ "mercury" ];
      interfaces = [ "eth1" ];
    };
  };
}
