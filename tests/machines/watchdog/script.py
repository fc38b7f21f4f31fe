# A daemon that makes no progress any more, in one of its parts or as a whole, is replaced within the watchdog's time, and no lookup
# fails meanwhile. It runs on one thread: a call that does not come back in gossip or control holds everything, and systemd notices
# by itself; strace(1) stops it there. What blocks is done on other threads: behind a disk that does not answer, for which a FIFO stands that
# nobody reads, publishing stands still while the rest goes on, and the daemon notices itself.

import time

SERVICE = "data-mesher.service"
WATCHDOG = 8.0
# The time that systemd takes to end the daemon and to start it again.
RESTART = 6.0
ALPHA = ["192.168.1.1", "2001:db8:1::1"]
BETA = ["192.168.1.2", "2001:db8:1::2"]
NAMES = {"mercury.sol": ALPHA, "mars.sol": BETA}


def main_pid():
    return alpha.get_unit_property(SERVICE, "MainPID")


def stop_in(call, cause):
    """Stops the daemon's thread in the next system call of this kind, which `cause` leads to."""
    pid = main_pid()
    alpha.succeed(
        f"systemd-run --quiet --unit=holder --service-type=exec strace --output=/run/holder --attach={pid} "
        f"--trace={call} --inject={call}:signal=SIGSTOP:when=1"
    )
    alpha.wait_until_succeeds(f"grep --quiet 'TracerPid:[[:space:]]*[1-9]' /proc/{pid}/status", timeout=10)
    cause()
    alpha.wait_until_succeeds(f"grep --quiet 'State:[[:space:]]*[Tt]' /proc/{pid}/status", timeout=10)
    # It stays stopped when strace lets go of it.
    alpha.succeed("systemctl stop holder.service", f"grep -F '{call}(' /run/holder")
    alpha.succeed(f"grep --quiet 'State:[[:space:]]*T' /proc/{pid}/status")


def replaced(hang, said):
    """The daemon hangs, is replaced in time, and the journal says why."""
    before = main_pid()
    mark = alpha.succeed("journalctl --quiet --output=cat --unit=init.scope --unit=data-mesher.service | wc -l").strip()
    with lookups(alpha, NAMES), lookups(beta, NAMES):
        hang()
        hung = time.monotonic()
        alpha.wait_until_succeeds(
            f"test $(systemctl show -P MainPID {SERVICE}) -ne {before} && systemctl is-active --quiet {SERVICE}",
            timeout=WATCHDOG + RESTART,
        )
        log.info(f"replaced {time.monotonic() - hung:.2f} s after it hung")
        time.sleep(1)
    alpha.wait_until_succeeds(
        f"journalctl --quiet --output=cat --unit=init.scope --unit=data-mesher.service | tail -n +{mark} | grep -F '{said}'", timeout=10
    )
    wait_for_answers([alpha, beta], NAMES)


start_all()
for machine in machines:
    machine.wait_for_unit(SERVICE)
wait_for_answers([alpha, beta], NAMES)
alpha.succeed(
    f"mkdir -p /run/systemd/system/{SERVICE}.d",
    f"printf '[Service]\\nWatchdogSec={WATCHDOG:.0f}s\\n' > /run/systemd/system/{SERVICE}.d/watchdog.conf",
    "systemctl daemon-reload",
    f"systemctl restart {SERVICE}",
)

with subtest("nothing hangs: it is left alone"):
    before = main_pid()
    time.sleep(WATCHDOG * 1.5)
    assert main_pid() == before

with subtest("it hangs in gossip, receiving"):
    replaced(lambda: stop_in("recvfrom", lambda: None), "Watchdog timeout")

with subtest("it hangs in control, accepting"):
    replaced(lambda: stop_in("accept4", lambda: alpha.execute("timeout 0.5 mesherctl status")), "Watchdog timeout")

with subtest("publishing hangs, behind a disk that does not answer, and nothing else"):
    file = "/var/lib/data-mesher/own.new"

    def block_disk():
        # In one step: the daemon makes the file anew as soon as it is not there.
        alpha.succeed(f"mkfifo {file}.fifo", f"chown data-mesher: {file}.fifo", f"mv -f {file}.fifo {file}")
        # Renewals are saved, so somebody waits at it soon; whoever comes after finds no such obstacle.
        alpha.wait_until_succeeds(f"grep --quiet wait_for_partner /proc/{main_pid()}/task/*/wchan", timeout=10)
        alpha.succeed(f"rm {file}")

    # It is the daemon itself that notices.
    replaced(block_disk, "publishing has made no progress")
