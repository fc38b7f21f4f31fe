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
