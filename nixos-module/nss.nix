# Lookups. NixOS loads NSS modules in one process only, nscd (nsncd by default), which all programs ask.
{ config, lib, ... }:
let
  cfg = config.services.data-mesher;
in
{
  options.services.data-mesher.nssOrder = lib.mkOption {
    type = lib.types.ints.between 1 1498;
    default = if config.services.resolved.enable then 450 else 1000;
    defaultText = lib.literalExpression "if config.services.resolved.enable then 450 else 1000";
    description = ''
      The place of `mesher` in the line `hosts:` of nsswitch.conf, as the priority of its definition in
      {option}`system.nssDatabases.hosts`. NixOS puts `mymachines` at 400, `mdns_minimal` at 500, `resolve` at 501, `files`
      at 998, `myhostname` at 999 and `dns` at 1499.

      With systemd-resolved the default is before `resolve`, which ends every lookup it takes part in; so a name of the mesh
      wins over the same name in /etc/hosts. Without, it is after `files`.
    '';
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = config.services.nscd.enable;
        message = ''
          services.data-mesher needs services.nscd.enable: without it no program on NixOS finds the NSS module, and the
          names of the mesh do not resolve.
        '';
      }
      {
        assertion = config.services.resolved.enable -> cfg.nssOrder < 501;
        message = ''
          services.data-mesher.nssOrder is ${toString cfg.nssOrder}, which is after systemd-resolved's `resolve
          [!UNAVAIL=return]` at 501: no lookup would ever reach the mesh. Choose less than 501.
        '';
      }
    ];
    warnings = lib.optional (config.services.nscd.enable && !config.services.nscd.enableNsncd) ''
      services.data-mesher: glibc's nscd (services.nscd.enableNsncd = false) keeps answers, so a name that changes hands, or
      was asked for before anybody held it, is answered wrongly until they run out. nsncd keeps none.
    '';

    # The output `lib`, which holds nothing but the module: this becomes nscd's LD_LIBRARY_PATH.
    system.nssModules = [ (lib.getLib cfg.package) ];
    system.nssDatabases.hosts = lib.mkOrder cfg.nssOrder [ "mesher" ];
  };
}
