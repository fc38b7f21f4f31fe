"""Runs scenarios on whole machines: systemd-nspawn containers with a real systemd, on one bridge.

    base.py      the root file systems: small Debian installations, kept as archives
    sandbox.py   namespaces of our own, so that nothing is left behind whatever ends the driver
    nodes.py     nodes.toml: the machines of a scenario
    product.py   what a scenario's machines have installed: the release files, a network, their configuration
    network.py   the bridge and the machines' links
    guest.py     commands inside a machine
    container.py a machine's body: its disk, its power, its way in
    disk.py      a disk for a machine's state, for power cuts that lose what was not synchronised
    machine.py   a machine as a script sees it, with the NixOS test driver's names
    scenario.py  runs a script, and shows what there is to see when it fails
    lookups.py   what a machine's programs get when they look names up
    lanes.py     several scenarios at a time
    pages.py     follows a page of docs, so that every command in it is run
    report.py    progress lines
"""
