# nixpkgs' lib for a Nix that is older than it asks for, such as Debian's 2.8: with the one built-in function that is missed.
libPath:
let
  newer = builtins // {
    readFileType = path: (builtins.readDir (dirOf path)).${baseNameOf path};
    import = from;
  };
  from = builtins.scopedImport {
    builtins = newer;
    import = from;
  };
in
if builtins ? readFileType then import libPath else from libPath
