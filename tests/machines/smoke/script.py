# What every other scenario relies on: machines boot a real systemd, hear each other, and fall silent when told to.

PING = "ping -n -c 1 -W 1"

start_all()

with subtest("three machines boot and hear each other"):
    for number, machine in enumerate((alpha, beta, gamma), start=1):
        machine.wait_for_unit("multi-user.target")
        assert machine.succeed("hostname").strip() == machine.name
        assert "systemd" in machine.succeed("cat /proc/1/comm")
        assert f"192.168.1.{number}/24" in machine.succeed("ip -4 address show dev eth1")
    for machine in (alpha, beta, gamma):
        for number in (1, 2, 3):
            machine.wait_until_succeeds(f"{PING} 192.168.1.{number}", timeout=5)
            machine.wait_until_succeeds(f"{PING} 2001:db8:1::{number}", timeout=5)

with subtest("no unit failed"):
    for machine in (alpha, beta, gamma):
        assert machine.succeed("systemctl list-units --failed --no-legend").strip() == ""

with subtest("the status and output of commands"):
    assert alpha.execute("echo out; echo err >&2; exit 3") == (3, "out\n")
    alpha.fail("false | true")
    alpha.fail("sleep 5", timeout=0.2)

with subtest("a machine cannot harm the one it runs on"):
    alpha.fail("date --set=@0")
    alpha.fail("mknod /tmp/null c 1 3 && cat /tmp/null")

with subtest("a cut link"):
    beta.block()
    alpha.fail(f"{PING} 192.168.1.2")
    beta.fail(f"{PING} 192.168.1.3")
    alpha.succeed(f"{PING} 192.168.1.3")
    assert "192.168.1.2/24" in beta.succeed("ip address show dev eth1")
    beta.unblock()
    alpha.wait_until_succeeds(f"{PING} 192.168.1.2", timeout=5)

with subtest("a split network"):
    partition([alpha], [beta, gamma])
    alpha.fail(f"{PING} 192.168.1.2")
    alpha.fail(f"{PING} 2001:db8:1::3")
    beta.succeed(f"{PING} 192.168.1.3")
    heal()
    alpha.succeed(f"{PING} 192.168.1.2")

with subtest("a crash keeps the disk and loses /run"):
    gamma.succeed("echo kept > /var/kept; touch /run/lost")
    gamma.crash()
    alpha.fail(f"{PING} 192.168.1.3")
    gamma.start()
    gamma.wait_for_unit("multi-user.target")
    assert gamma.succeed("cat /var/kept") == "kept\n"
    gamma.fail("test -e /run/lost")
    alpha.wait_until_succeeds(f"{PING} 192.168.1.3", timeout=5)

with subtest("a reboot"):
    before = gamma.succeed("cat /proc/sys/kernel/random/boot_id")
    gamma.reboot()
    assert gamma.succeed("cat /proc/sys/kernel/random/boot_id") != before
    assert gamma.succeed("cat /var/kept") == "kept\n"

with subtest("a machine shut down, then wanted again"):
    gamma.shutdown()
    alpha.fail(f"{PING} 192.168.1.3")
    gamma.wait_for_unit("multi-user.target")
    alpha.wait_until_succeeds(f"{PING} 192.168.1.3", timeout=5)

with subtest("frozen and thawed"):
    gamma.freeze()
    alpha.succeed(f"{PING} 192.168.1.3")  # the kernel answers for it
    gamma.thaw()
    gamma.succeed("true")
