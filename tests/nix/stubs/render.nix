# Units as systemd reads them, from the options: the text NixOS writes into a unit's file, or, where a package brings the
# unit, into its drop-in.
{ lib }:
let
  inherit (lib) concatStrings optionalString;
  word =
    value:
    if value == true then
      "true"
    else if value == false then
      "false"
    else
      toString value;
  lines =
    key: value:
    if lib.isList value then
      concatStrings (map (each: "${key}=${word each}\n") value)
    else
      "${key}=${word value}\n";
  directives = attributes: concatStrings (lib.mapAttrsToList lines attributes);
  list = key: values: optionalString (values != [ ]) "${key}=${toString values}\n";

  unitSection =
    unit:
    "[Unit]\n"
    + directives unit.unitConfig
    + optionalString (unit.description != "") "Description=${unit.description}\n"
    + list "Documentation" unit.documentation
    + list "Requires" unit.requires
    + list "Wants" unit.wants
    + list "After" unit.after
    + list "Before" unit.before
    + list "PartOf" unit.partOf
    + list "X-Reload-Triggers" (map toString unit.reloadTriggers)
    + list "X-Restart-Triggers" (map toString unit.restartTriggers);
in
{
  service =
    unit:
    unitSection unit
    + "\n[Service]\n"
    + concatStrings (
      lib.mapAttrsToList (
        name: value: "Environment=${builtins.toJSON "${name}=${value}"}\n"
      ) unit.environment
    )
    + optionalString (!unit.restartIfChanged) "X-RestartIfChanged=false\n"
    + optionalString (!unit.stopIfChanged) "X-StopIfChanged=false\n"
    + optionalString unit.notSocketActivated "X-NotSocketActivated=true\n"
    + directives unit.serviceConfig;

  socket =
    unit:
    unitSection unit
    + "\n[Socket]\n"
    + directives unit.socketConfig
    + concatStrings (map (each: "ListenStream=${each}\n") unit.listenStreams)
    + concatStrings (map (each: "ListenDatagram=${each}\n") unit.listenDatagrams);
}
