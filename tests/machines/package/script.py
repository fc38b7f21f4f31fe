# The Debian packages' whole life: installed, upgraded, removed, installed again, purged, with lookups going on throughout
# and an nsswitch.conf that its administrator has edited.

import contextlib

SERVICE = "data-mesher.service"
SOCKET = "data-mesher.socket"
NSSWITCH = "/etc/nsswitch.conf"
MODULE = "/usr/lib/*/libnss_mesher.so.2"
APT = "DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes"
CURRENT = "/root/deb/*.deb"
PREVIOUS = "/root/deb/previous/*.deb"

EDITED = "# my own comment\npasswd: files\n\nhosts:  files dns  # and this one\n"
NAMED = "# my own comment\npasswd: files\n\nhosts:  files mesher dns  # and this one\n"


def snapshot():
    """Every file a package might leave, with its content's hash and mode. The loader's cache is made anew at will."""
    return alpha.succeed(
        r"find /usr /etc -xdev ! -type d ! -path /etc/ld.so.cache -printf '%p %m %u %g %l\n' | sort",
        "find /usr /etc -xdev -type f ! -path /etc/ld.so.cache -print0 | xargs -0 sha256sum | sort",
    ).splitlines()


@contextlib.contextmanager
def watched(name, address):
    """Meanwhile the name must resolve every time, and nsswitch.conf must at no time name a module that is not there."""
    loop = f"""
import glob, os, subprocess
def named():
    return " mesher" in open("{NSSWITCH}").read()
count = 0
while not os.path.exists("/run/watch.stop"):
    found = subprocess.run(["getent", "ahosts", "{name}"], capture_output=True, text=True)
    wrong = "" if "{address} " in found.stdout else f"lookup: status {{found.returncode}}, {{found.stdout!r}}"
    # Asked on both sides: between two looks at it the line, and then the module, may have gone.
    if named() and not glob.glob("{MODULE}") and named():
        wrong += " nsswitch.conf names a module that is not there"
    if wrong:
        print(wrong, file=open("/run/watch.wrong", "a"))
    count += 1
    print(count, file=open("/run/watch.count", "w"))
"""
    alpha.succeed("rm -f /run/watch.*", f"cat > /run/watch.py <<'END'\n{loop}\nEND")
    alpha.succeed("systemd-run --quiet --unit=watch --service-type=exec python3 /run/watch.py")
    alpha.wait_until_succeeds("test -s /run/watch.count", timeout=20)
    yield
    # What follows the last step counts too: a stopped daemon's table is believed for 2 s more.
    alpha.succeed("sleep 3; touch /run/watch.stop")
    alpha.wait_until_fails("systemctl is-active --quiet watch.service", timeout=20)
    wrong = alpha.succeed("cat /run/watch.wrong 2>/dev/null || true").splitlines()
    count = alpha.succeed("cat /run/watch.count").strip()
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong[:20])
    log.info(f"{count} lookups of {name}, each right")


def nsswitch():
    return alpha.succeed(f"cat {NSSWITCH}")


def version(package):
    return alpha.succeed(f"dpkg-query --show --showformat='${{Version}}' {package}")


alpha.start()
alpha.wait_for_unit("multi-user.target")
alpha.succeed(
    f"cat > {NSSWITCH} <<'END'\n{EDITED}END",
    f"chmod 640 {NSSWITCH}",
    "echo '10.9.9.9 known.example' > /etc/hosts",
    # The user stays after a purge, as packages leave theirs; made here, it is in both snapshots.
    "echo 'u data-mesher - \"Decentralised host naming\" /var/lib/data-mesher' | systemd-sysusers -",
)
before = snapshot()

with subtest("installed: the module, then its line in nsswitch.conf; nothing runs before it is configured"):
    with watched("known.example", "10.9.9.9"):
        said = alpha.succeed(f"{APT} install {PREVIOUS} 2>&1")
    assert "getting-started.md" in said, said
    assert (seen := nsswitch()) == NAMED, seen
    assert alpha.succeed(f"stat --format='%a %U %G' {NSSWITCH}").strip() == "640 root root"
    assert "~previous" in version("data-mesher") and "~previous" in version("libnss-mesher")
    alpha.succeed(f"systemctl is-enabled {SERVICE} {SOCKET}", f"test -s {MODULE}", "test -s /usr/share/bash-completion/completions/mesherctl")
    alpha.require_unit_state(SERVICE, "inactive")
    alpha.fail("getent ahosts earth.sol")

with subtest("configured and started, its name resolves"):
    network = alpha.succeed("mesherctl network init --domain sol --claim-ttl 24h --out /etc/data-mesher").split()[-1]
    alpha.succeed(
        f"""sed -i -e 's|^id = .*|id = "{network}"|' -e 's|^#settings_file|settings_file|' \
            -e 's|^interfaces = .*|interfaces = ["eth1"]|' -e 's|^names = .*|names = ["earth"]|' \
            /etc/data-mesher/config.toml""",
        f"systemctl start {SOCKET}",
    )
    alpha.wait_until_succeeds("getent ahosts earth.sol | grep -F 192.168.1.1", timeout=20)
    host = alpha.succeed("mesherctl --json host show")

with subtest("upgraded: the new daemon runs, no lookup is lost, nsswitch.conf is not touched"):
    pid = alpha.get_unit_property(SERVICE, "MainPID")
    alpha.succeed(f"sed -i 's/^passwd: files$/passwd: files systemd/' {NSSWITCH}")
    mine = NAMED.replace("passwd: files", "passwd: files systemd")
    with watched("earth.sol", "192.168.1.1"):
        alpha.succeed(f"{APT} install {CURRENT}")
    assert "~previous" not in version("data-mesher") + version("libnss-mesher")
    alpha.wait_for_unit(SERVICE)
    assert alpha.get_unit_property(SERVICE, "MainPID") != pid, "the old daemon still runs"
    assert (seen := nsswitch()) == mine, seen
    assert alpha.succeed("mesherctl --json host show") == host

with subtest("an upgrade respects what the administrator has decided"):
    alpha.succeed(
        f"cp -p {NSSWITCH} /root/nsswitch.conf", f"sed -i 's/ mesher / /' {NSSWITCH}", f"systemctl stop {SERVICE}",
        f"systemctl disable --quiet {SERVICE} {SOCKET}", "mv /etc/data-mesher/config.toml /root/",
        f"{APT} --reinstall install {CURRENT}",
    )
    assert "mesher" not in nsswitch(), nsswitch()
    alpha.fail("test -e /etc/data-mesher/config.toml")
    alpha.fail(f"systemctl is-enabled {SERVICE}")
    alpha.require_unit_state(SERVICE, "inactive")
    alpha.succeed(
        f"cp -p /root/nsswitch.conf {NSSWITCH}", "mv /root/config.toml /etc/data-mesher/",
        f"systemctl enable --quiet {SERVICE}", f"systemctl start {SOCKET}",
    )
    alpha.wait_until_succeeds("getent ahosts earth.sol", timeout=20)

with subtest("the source stays named while the module of another architecture is installed"):
    alpha.succeed(
        "dpkg-deb --raw-extract /root/deb/libnss-mesher_*.deb /root/foreign",
        # Whatever this machine is, one of the two is foreign to it.
        "test $(dpkg --print-architecture) = i386 && foreign=amd64 || foreign=i386; "
        "sed -i -e s/^Architecture:.*/Architecture:\\ $foreign/ -e /^Depends:/d /root/foreign/DEBIAN/control; "
        "dpkg-deb --build /root/foreign /root/foreign.deb; dpkg --add-architecture $foreign; dpkg --install /root/foreign.deb; "
        "dpkg --remove libnss-mesher:$foreign; dpkg --remove-architecture $foreign",
    )
    assert (seen := nsswitch()) == mine, seen
    alpha.succeed("getent ahosts earth.sol")

with subtest("removed: the line goes before the module, the rest of the file stays; configuration and key stay"):
    with watched("known.example", "10.9.9.9"):
        alpha.succeed(f"{APT} remove data-mesher libnss-mesher")
    assert (seen := nsswitch()) == mine.replace(" mesher", ""), seen
    alpha.fail("getent ahosts earth.sol")
    alpha.succeed("test -s /etc/data-mesher/config.toml", "test -d /var/lib/data-mesher")
    alpha.fail(f"ls {MODULE}")
    assert alpha.get_unit_property(SERVICE, "LoadState") == "not-found"

with subtest("installed again, it is as it was, by itself"):
    alpha.succeed(f"{APT} install {CURRENT}")
    alpha.wait_until_succeeds("getent ahosts earth.sol | grep -F 192.168.1.1", timeout=20)
    assert (seen := nsswitch()) == mine, seen
    assert alpha.succeed("mesherctl --json host show") == host
    alpha.reboot()
    alpha.wait_for_unit(SERVICE)
    alpha.succeed("getent ahosts earth.sol")

with subtest("purged, it leaves nothing but the user and the network's private key"):
    said = alpha.succeed(f"{APT} purge data-mesher libnss-mesher 2>&1")
    assert "network.key" in said, said
    assert alpha.succeed("find /etc/data-mesher -type f").split() == ["/etc/data-mesher/network.key"]
    alpha.succeed("rm -r /etc/data-mesher", f"sed -i 's/^passwd: files systemd$/passwd: files/' {NSSWITCH}")
    alpha.fail("test -e /var/lib/data-mesher -o -e /run/data-mesher -o -e /run/data-mesher.installing")
    after = snapshot()
    assert after == before, "\n".join(sorted(set(after) ^ set(before)))
    alpha.fail("dpkg-query --show data-mesher libnss-mesher")
