# Every scenario of tests/machines as a NixOS VM test, from the same two files: nodes.toml says what the machines are,
# script.py what is done to them. The words of nodes.toml are described in docs/testing.md.
#
# Left out are scenarios that are about Debian, or use what only the project's own driver can do; `reasons` says why.
{
  lib,
  pkgs,
  data-mesher,
  nixosModule,
  folder ? ../machines,
  # Tests, or what they are made of, or why there is none.
  want ? "tests",
}:
let
  names = lib.attrNames (
    lib.filterAttrs (
      name: type: type == "directory" && lib.pathExists (folder + "/${name}/nodes.toml")
    ) (builtins.readDir folder)
  );
  # What docs/testing.md marks as this project's own, and vm-prelude.py has no equal of. A function stands at the beginning of a
  # line or after a space; after a dot it would be somebody's method, such as a string's.
  driverOnly = [
    ".freeze("
    ".thaw("
    "\nfollow("
    " follow("
  ];
  # A rule of the prelude's firewall goes with the machine's power.
  cutsLinks = [
    "\nlose("
    " lose("
    "\npartition("
    " partition("
  ];
  switchesOff = [
    ".crash("
    ".reboot("
    ".shutdown("
  ];

  scenario =
    name:
    let
      script = builtins.readFile (folder + "/${name}/script.py");
      document = lib.importTOML (folder + "/${name}/nodes.toml");
      using = lib.filter (word: lib.hasInfix word script);
      used = using driverOnly;
      network = document.network or null;
      settingsOn = network.settings_on or [ (lib.head machineNames) ];
      # Of the first machine in the file's order, which the parsed document does not keep.
      machineNames = lib.sort (a: b: position a < position b) (lib.attrNames document.machines);
      text = builtins.readFile (folder + "/${name}/nodes.toml");
      position =
        machine:
        let
          before = mark: text: lib.head (lib.splitString "[machines.${machine}${mark}" text);
        in
        lib.stringLength (before "]" (before "." text));
    in
    {
      inherit
        name
        document
        network
        settingsOn
        ;
      reason =
        if document ? release_files then
          "it installs the Debian release files"
        else if document.packages or [ ] != [ ] then
          "it needs Debian packages: ${toString document.packages}"
        else if lib.any (machine: machine ? state_disk) (lib.attrValues document.machines) then
          "it takes a disk down"
        else if lib.hasInfix "/etc/systemd/system/" script then
          "it writes units where NixOS has its own"
        else if
          lib.any (words: lib.hasInfix words script) [
            "/etc/nsswitch.conf"
            "/etc/hosts"
            "mesherctl network secret"
          ]
        then
          "it changes files of /etc that NixOS makes"
        else if used != [ ] then
          "it uses what only the project's own driver has:${
            lib.concatMapStrings (word: " ${lib.replaceStrings [ "\n" " " ] [ "" "" ] word}…)") used
          }"
        else if using cutsLinks != [ ] && using switchesOff != [ ] then
          "it cuts links of machines that it switches off, whose firewall has forgotten it when they are on again"
        else
          null;
      # A script, with what it finds in the project's own driver before it.
      testScript = lib.concatStringsSep "\n" [
        "machines = [${lib.concatStringsSep ", " (map variable machineNames)}]"
        "addresses_of = ${
          builtins.toJSON (
            lib.mapAttrs (
              _: machine: map (text: (address text).address) (machine.addresses or [ ])
            ) document.machines
          )
        }"
        (builtins.readFile ./vm-prelude.py)
        (lib.replaceStrings [ "from . import report\nfrom .machine import Machine\n" ] [ "" ] (
          builtins.readFile (folder + "/driver/lookups.py")
        ))
        script
      ];
      files = makeNetwork name (removeAttrs network [ "settings_on" ]);
    };

  # A machine's name in Python.
  variable = lib.replaceStrings [ "-" ] [ "_" ];

  # Networks are made by the real mesherctl. Their secrets lie in the Nix store, where all can read them: for tests only.
  makeNetwork =
    name: options:
    pkgs.runCommand "data-mesher-network-${name}" { } ''
      ${lib.getExe' data-mesher "mesherctl"} network init --out $out ${lib.concatStringsSep " " (lib.concatLists (lib.mapAttrsToList option options))} > said
      sed -n '$s/.* //p' said > $out/id
    '';
  # A key that is nobody's, in the place of an id that is not known before the network is made. (Were it read here, evaluating
  # the flake would build the package, for other systems too.)
  placeholder = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
  withId =
    network: settings:
    pkgs.runCommand "data-mesher.toml" { } ''
      sed "s|${placeholder}|$(cat ${network}/id)|" ${
        (pkgs.formats.toml { }).generate "data-mesher.toml" settings
      } > $out
      ${lib.getExe' data-mesher "mesherctl"} config check $out
    '';
  option =
    key: value:
    let
      word = "--" + lib.replaceStrings [ "_" ] [ "-" ] key;
    in
    if value == true then
      [ word ]
    else if value == false then
      [ ]
    else
      lib.concatMap (each: [
        word
        (lib.escapeShellArg (toString each))
      ]) (lib.toList value);

  node =
    scenario: name:
    let
      machine = scenario.document.machines.${name};
      own = lib.recursiveUpdate (scenario.document.settings or { }) (machine.settings or { });
      addresses = map address (machine.addresses or [ ]);
      ofFamily = v6: map (each: removeAttrs each [ "v6" ]) (lib.filter (each: each.v6 == v6) addresses);
    in
    { config, pkgs, ... }:
    {
      imports = [
        nixosModule
      ]
      ++ lib.optional (scenario.network != null) {
        services.data-mesher = {
          enable = true;
          package = data-mesher;
          openFirewall = true;
          configFile = withId scenario.files config.services.data-mesher.finalSettings;
          settings = lib.mkMerge [
            own
            { network.id = placeholder; }
            (lib.mkIf (lib.elem name scenario.settingsOn) {
              network.settings_file = lib.mkDefault "/etc/data-mesher/network.settings";
            })
          ];
        };
        # Copies, which the scripts can change as they change the files of other systems.
        environment.etc = {
          "data-mesher/config.toml".mode = "0644";
          "data-mesher/network.secret" = {
            source = "${scenario.files}/network.secret";
            mode = "0600";
          };
        }
        // lib.optionalAttrs (lib.elem name scenario.settingsOn) {
          "data-mesher/network.settings" = {
            source = "${scenario.files}/network.settings";
            mode = "0644";
          };
        };
        systemd.services.data-mesher.wantedBy = lib.mkIf (!(machine.enabled or true)) (lib.mkForce [ ]);
      };

      networking.useDHCP = false;
      networking.interfaces.eth1 = {
        ipv4.addresses = ofFamily false;
        ipv6.addresses = ofFamily true;
      };
      # The test framework writes every machine that it gives an address into /etc/hosts, where a lookup would find it
      # whatever the NSS module does. So it gives none.
      virtualisation.interfaces.eth1 = {
        vlan = 1;
        assignIP = false;
      };

      # What the scripts use on the machines; also in units that they make with systemd-run, which NixOS gives no PATH.
      environment.etc."systemd/system.conf.d/scripts.conf".text = ''
        [Manager]
        DefaultEnvironment=PATH=/run/current-system/sw/bin
      '';
      environment.systemPackages = [
        pkgs.nftables
        pkgs.procps
        pkgs.python3
        pkgs.util-linux
      ];
    };

  address =
    text:
    let
      parts = lib.splitString "/" text;
      v6 = lib.hasInfix ":" text;
      usual = if v6 then 64 else 24;
    in
    {
      inherit v6;
      address = lib.head parts;
      prefixLength = if lib.length parts == 1 then usual else lib.toInt (lib.last parts);
    };

  nodes = scenario: lib.mapAttrs (name: _: node scenario name) scenario.document.machines;
  test =
    scenario:
    pkgs.testers.runNixOSTest {
      name = "data-mesher-${scenario.name}";
      nodes = nodes scenario;
      inherit (scenario) testScript;
      # Virtual machines boot in half a minute where the driver's containers need half a second.
      globalTimeout = 600 + scenario.document.timeout or 300;
      # The scripts are checked where they are written, against the driver's own types.
      skipTypeCheck = true;
      skipLint = true;
    };

  all = map scenario names;
  usable = lib.filter (each: each.reason == null) all;
  perScenario =
    make: scenarios:
    lib.listToAttrs (map (each: lib.nameValuePair "vm-${each.name}" (make each)) scenarios);
in
{
  tests = perScenario test usable;
  nodes = perScenario nodes usable;
  scripts = perScenario (each: {
    inherit (each) testScript;
    machines = lib.attrNames each.document.machines;
  }) usable;
  networks = perScenario (each: each.files) (lib.filter (each: each.network != null) usable);
  reasons = perScenario (each: each.reason) (lib.subtractLists usable all);
}
.${want}
