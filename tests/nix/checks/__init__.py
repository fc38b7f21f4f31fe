"""Checks of what is written in Nix: flake.nix, nixos-module and the tests' own files.

    tools.py     nix, the linters, the project's own programs
    sources.py   checks that need no nixpkgs: syntax, format, dead code, files, the flake's shape, scripts
    module.py    checks that evaluate the module with nixpkgs' real lib: expectations, units, configuration
    whole.py     whole machines, among NixOS' own modules
    package.py   the package: its source, and its installation carried out
    machines.py  the VM tests, held against what the project's own driver makes of the same scenarios
    reference.py docs/nixos-options.md
    mistakes.py  planted mistakes: every check is seen to fail
"""
