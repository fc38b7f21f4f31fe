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
  # The id of a network that a derivation made. Reading it builds that derivation during evaluation.
  readId ? network: lib.fileContents "${network}/id",
  # Tests, or what they are made of, or why there is none.
  want ? "tests",
}:
let
  names = lib.attrNames (
    lib.filterAttrs (
      name: type: type == "directory" && lib.pathExists (folder + "/${name}/nodes.toml")
    ) (builtins.readDir folder)
  );
  # What docs/testing.md marks as this project's own. A function stands at the beginning of a line or after a space; after a
  # dot it would be somebody's method, such as a string's.
  driverOnly = [
    ".freeze("
    ".thaw("
    "answers("
    "lookups("
    "random_numbers("
  ]
  ++
    lib.concatMap
      (function: [
        " ${function}("
        "\n${function}("
      ])
      [
        "partition"
        "heal"
        "lose"
        "follow"
      ];

  scenario =
    name:
    let
      script = builtins.readFile (folder + "/${name}/script.py");
      document = lib.importTOML (folder + "/${name}/nodes.toml");
      used = lib.filter (word: lib.hasInfix word script) driverOnly;
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
        script
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
        else if used != [ ] then
          "it uses what only the project's own driver has:${
            lib.concatMapStrings (word: " ${lib.trim word}…)") used
          }"
        else
          null;
      files = makeNetwork name (removeAttrs network [ "settings_on" ]);
    };

  # Networks are made by the real mesherctl. Their secrets lie in the Nix store, where all can read them: for tests only.
  makeNetwork =
    name: options:
    pkgs.runCommand "data-mesher-network-${name}" { } ''
      ${lib.getExe' data-mesher "mesherctl"} network init --out $out ${lib.concatStringsSep " " (lib.concatLists (lib.mapAttrsToList option options))} > said
      sed -n '$s/.* //p' said > $out/id
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
    { pkgs, ... }:
    {
      imports = [
        nixosModule
      ]
      ++ lib.optional (scenario.network != null) {
        services.data-mesher = {
          enable = true;
          package = data-mesher;
          openFirewall = true;
          settings = lib.mkMerge [
            own
            { network.id = readId scenario.files; }
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

      # What the scripts use on the machines.
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
      testScript = scenario.script;
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
  networks = perScenario (each: each.files) (lib.filter (each: each.network != null) usable);
  reasons = perScenario (each: each.reason) (lib.subtractLists usable all);
}
.${want}
