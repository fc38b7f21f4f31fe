# As much of nixpkgs' lib as options, package.nix and vm-tests.nix call for the checks that run where there is no nixpkgs. A
# type is its deep check, and a submodule keeps its options to be looked into. With NIXPKGS_LIB the checks hold this to the
# real one.
let
  type = check: { inherit check; };
  # A text as the regular expression that it alone matches.
  escaped =
    let
      special = [
        "\\"
        "["
        "("
        ")"
        "{"
        "*"
        "+"
        "?"
        "|"
        "^"
        "$"
        "."
      ];
    in
    builtins.replaceStrings special (map (character: "\\" + character) special);
  under =
    folder: path:
    folder == path || builtins.substring 0 (builtins.stringLength folder + 1) path == folder + "/";
in
rec {
  inherit (builtins)
    any
    attrNames
    attrValues
    concatStringsSep
    filter
    head
    length
    listToAttrs
    mapAttrs
    pathExists
    replaceStrings
    sort
    stringLength
    ;
  concatMapStrings = make: list: concatStringsSep "" (map make list);
  filterAttrs = keep: set: removeAttrs set (filter (name: !keep name set.${name}) (attrNames set));
  hasInfix = part: text: length (splitString part text) > 1;
  last = list: builtins.elemAt list (length list - 1);
  nameValuePair = name: value: { inherit name value; };
  splitString = mark: text: filter builtins.isString (builtins.split (escaped mark) text);
  subtractLists = taken: filter (each: !builtins.elem each taken);
  toInt = builtins.fromJSON;
  toList = value: if builtins.isList value then value else [ value ];

  importTOML = file: builtins.fromTOML (builtins.readFile file);
  literalExpression = text: { inherit text; };
  mkOption = arguments: arguments;
  optionalString = condition: text: if condition then text else "";

  types = rec {
    addCheck = base: check: type (value: base.check value && check value);
    anything = type (_: true);
    bool = type builtins.isBool;
    enum = values: type (value: builtins.elem value values);
    int = type builtins.isInt;
    ints.between = low: high: addCheck int (number: number >= low && number <= high);
    listOf = element: type (value: builtins.isList value && builtins.all element.check value);
    nonEmptyStr = addCheck str (text: builtins.match "[ \t\n]*" text == null);
    nullOr = base: type (value: value == null || base.check value);
    path = addCheck str (text: builtins.substring 0 1 text == "/");
    package = type builtins.isAttrs;
    pathWith = _: path;
    port = addCheck int (port: port >= 0 && port <= 65535);
    str = type builtins.isString;
    strMatching = pattern: addCheck str (text: builtins.match pattern text != null);
    submodule =
      { options, freeformType }:
      type (
        value:
        builtins.isAttrs value
        && builtins.all (
          name: (if options ? ${name} then options.${name}.type else freeformType).check value.${name}
        ) (builtins.attrNames value)
      )
      // {
        inherit options;
      };
  };

  # Like lib.fileset, whose own needs a newer Nix than Debian's: a source with these files and folders, and no others.
  fileset = {
    unions = map toString;
    toSource =
      { root, fileset }:
      builtins.path {
        path = root;
        name = "source";
        filter = path: _: builtins.any (chosen: under chosen path || under path chosen) fileset;
      };
  };

  licenses = {
    mit.spdxId = "MIT";
    asl20.spdxId = "Apache-2.0";
  };
  platforms.linux = [
    "aarch64-linux"
    "x86_64-linux"
  ];
}
