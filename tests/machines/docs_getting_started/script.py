# What the page says is done as it stands there. The network's id and the hosts' keys are new in every run.


def host_key(machine):
    return lambda: machine.succeed("mesherctl host show").strip()


start_all()
follow(
    "docs/getting-started.md",
    {
        "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=": lambda: alpha.succeed(
            "mesherctl network show --dir /root/mesh --json | sed -n 's/.*\"id\": *\"\\([^\"]*\\)\".*/\\1/p'"
        ).strip(),
        "HOSTKEY-OF-ALPHA": host_key(alpha),
        "HOSTKEY-OF-BETA": host_key(beta),
        "HOSTKEY-OF-GAMMA": host_key(gamma),
    },
    directory="/root/deb",
)

with subtest("the other settings are changed in the same way: a new revision, in one machine's file, in force everywhere"):
    told = alpha.succeed(
        "mesherctl network set --dir /root/mesh --domain luna --claim-ttl 2h --witness $(mesherctl host show) 2>&1"
    )
    # It says what it is about to sign.
    assert "About to sign" in told and "domain: sol → luna" in told, told
    before = int(beta.succeed("mesherctl --json status | sed -n 's/.*\"revision\": *\\([0-9]*\\).*/\\1/p'"))
    alpha.succeed("cp /root/mesh/network.settings /etc/data-mesher/", "systemctl reload data-mesher")
    for machine in (alpha, beta):
        machine.wait_until_succeeds("getent ahosts mercury.luna && getent ahosts mars.luna", timeout=30)
        machine.fail("getent ahosts mars.sol")
        shown = machine.succeed("mesherctl --json status")
        for word in ('"revision":%d' % (before + 1), '"domain":"luna"', '"claim_ttl_ms":7200000', '"witnesses":1'):
            assert word in shown.replace(" ", ""), f"{word} on {machine.name}: {shown}"
