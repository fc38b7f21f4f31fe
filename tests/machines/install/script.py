# What a stranger does on a systemd machine: install, make a network, start the socket, look a name up; install again, take
# everything off. (Only this driver has `release_files`: other systems have packages of their own.)

INSTALL = "/root/xtask install --from /root/dist"
SERVICE = "data-mesher.service"
MODULE = "$(find /usr/lib -name libnss_mesher.so.2)"


def snapshot():
    """Every file the installer might touch, with its content's hash and mode."""
    return alpha.succeed(
        r"find /usr /etc -xdev ! -type d -printf '%p %m %u %g %l\n' | sort",
        "find /usr /etc -xdev -type f -print0 | xargs -0 sha256sum | sort",
    ).splitlines()


alpha.start()
alpha.wait_for_unit("multi-user.target")
alpha.succeed(
    "printf '%s\\n' '# my own comment' 'passwd: files' 'hosts:  files dns  # and this one' > /etc/nsswitch.conf",
    "echo '10.9.9.9 known.example' > /etc/hosts",
    # The user stays after an uninstall, as packages leave theirs; made here, it is in both snapshots.
    "cp /root/dist/usr/lib/sysusers.d/data-mesher.conf /run/ && systemd-sysusers /run/data-mesher.conf",
    "journalctl --update-catalog",
)
before = snapshot()

with subtest("an unprivileged user is told what to do, and nothing is changed"):
    alpha.succeed("cp /root/xtask /tmp/")
    alpha.fail("setpriv --reuid=nobody --clear-groups /tmp/xtask install")
    said = alpha.succeed("setpriv --reuid=nobody --clear-groups /tmp/xtask install 2>&1 || true")
    assert "needs root" in said and "sudo" in said, said
    assert snapshot() == before

with subtest("install"):
    said = alpha.succeed(INSTALL)
    for step in ("mesherctl network init", "/etc/data-mesher/config.toml", "systemctl start data-mesher.socket"):
        assert step in said, said
    wanted = "# my own comment\npasswd: files\nhosts:  files mesher dns  # and this one\n"
    assert (seen := alpha.succeed("cat /etc/nsswitch.conf")) == wanted, seen
    alpha.succeed(f"test -s {MODULE}", "id data-mesher", "systemctl is-enabled data-mesher.service data-mesher.socket")
    # Installed is not configured: nothing runs, and lookups are what they were.
    alpha.require_unit_state(SERVICE, "inactive")
    alpha.succeed("getent ahosts known.example")
    alpha.fail("getent ahosts earth.sol")

with subtest("started before it is configured, it says what is missing"):
    alpha.succeed("systemctl start data-mesher.socket")
    alpha.wait_until_succeeds(f"systemctl is-failed --quiet {SERVICE}", timeout=5)
    assert alpha.get_unit_property(SERVICE, "ExecMainStatus") == "78"
    alpha.wait_until_succeeds(f"journalctl --quiet -u {SERVICE} | grep -F config.toml", timeout=5)

with subtest("the steps it printed lead to a name that resolves"):
    network = alpha.succeed("mesherctl network init --domain sol --claim-ttl 24h --out /etc/data-mesher").split()[-1]
    alpha.succeed(
        f"""sed -i -e 's|^id = .*|id = "{network}"|' -e 's|^#settings_file|settings_file|' \
            -e 's|^interfaces = .*|interfaces = ["eth1"]|' -e 's|^names = .*|names = ["earth"]|' \
            /etc/data-mesher/config.toml""",
        "mesherctl config check",
        "systemctl start data-mesher.socket",
    )
    alpha.wait_until_succeeds("getent ahosts earth.sol | grep -F 192.168.1.1", timeout=10)

with subtest("installed again: nothing changes, and no name is lost"):
    first = snapshot()
    alpha.succeed(INSTALL)
    alpha.succeed("getent ahosts earth.sol")
    assert snapshot() == first
    alpha.wait_for_unit(SERVICE)

with subtest("after a reboot it is all there by itself"):
    alpha.reboot()
    alpha.wait_for_unit(SERVICE)
    alpha.succeed("getent ahosts earth.sol | grep -F 2001:db8:1::1")

with subtest("uninstall keeps the configuration and the host's key, and puts everything else back"):
    said = alpha.succeed("/root/xtask uninstall")
    assert "/var/lib/data-mesher" in said, said
    alpha.fail("getent ahosts earth.sol")
    alpha.succeed("test -d /var/lib/data-mesher", "test -s /etc/data-mesher/config.toml")
    assert alpha.get_unit_property(SERVICE, "LoadState") == "not-found"
    alpha.succeed(INSTALL, "systemctl start data-mesher.socket")
    alpha.wait_until_succeeds("getent ahosts earth.sol", timeout=10)

with subtest("purged after it was taken off: the same; what came by another way is left alone"):
    alpha.succeed("/root/xtask uninstall", "cp -a /etc/data-mesher /root/kept", "touch /usr/bin/mesherd")
    assert "nothing to take off" in alpha.fail("/root/xtask uninstall --purge 2>&1")
    alpha.succeed("test -d /var/lib/data-mesher", "rm /usr/bin/mesherd", "/root/xtask uninstall --purge", "test ! -e /var/lib/data-mesher")
    assert alpha.succeed("ls /etc/data-mesher").split() == ["network.key"]
    alpha.succeed("rm -r /etc/data-mesher", "mv /root/kept /etc/data-mesher", INSTALL, "systemctl start data-mesher.socket")
    alpha.wait_until_succeeds("getent ahosts earth.sol", timeout=10)

with subtest("purge leaves no trace but the user and the network's private key"):
    said = alpha.succeed("/root/xtask uninstall --purge")
    assert "network.key" in said, said
    assert alpha.succeed("ls /etc/data-mesher").split() == ["network.key"], "the network's key cannot be made again"
    alpha.succeed("rm -r /etc/data-mesher")
    alpha.fail("test -e /etc/data-mesher -o -e /var/lib/data-mesher -o -e /run/data-mesher")
    after = snapshot()
    assert after == before, "\n".join(sorted(set(after) ^ set(before)))
    alpha.fail("/root/xtask uninstall")
