# Figures of the daemon on real machines, printed and not judged: how fast it starts, how fast a new claim is at the others,
# what a member of a quiet network costs. Run it with
#
#     cargo xtask machines --script benches/machines/script.py --nodes benches/machines/nodes.toml

import statistics
import time

IDLE_S = 60
CLAIMS = 20


def table_has(machine, name):
    return machine.execute(f"getent ahosts {name}")[0] == 0


def start_to_ready_ms():
    """systemd's own time from starting the process to READY=1."""
    spans = []
    for _ in range(10):
        alpha.succeed("systemctl restart data-mesher.service")
        shown = alpha.succeed(
            "systemctl show data-mesher.service -p ExecMainStartTimestampMonotonic -p ActiveEnterTimestampMonotonic"
        )
        stamps = dict(line.split("=") for line in shown.split())
        spans.append(int(stamps["ActiveEnterTimestampMonotonic"]) - int(stamps["ExecMainStartTimestampMonotonic"]))
    return [span / 1000 for span in spans]


def usage(machine):
    """CPU ticks (1/100 s), and kB resident, of the daemon."""
    pid = machine.succeed("systemctl show -P MainPID data-mesher.service").strip()
    ticks = machine.succeed(f"awk '{{print $14 + $15}}' /proc/{pid}/stat").strip()
    resident = machine.succeed(f"awk '/VmRSS/ {{print $2}}' /proc/{pid}/status").strip()
    written = machine.succeed(f"awk '/write_bytes/ {{print $2}}' /proc/{pid}/io | head -1").strip()
    return int(ticks), int(resident), int(written)


def sent_bytes(machine):
    return int(machine.succeed("awk '/eth1:/ {print $10}' /proc/net/dev"))


# Looks every millisecond, inside the machine, so that no command's start is part of the figure.
WATCH = """
import socket, sys, time
end = time.monotonic() + 10
while time.monotonic() < end:
    try:
        socket.getaddrinfo(sys.argv[1], None)
        print(time.clock_gettime_ns(time.CLOCK_MONOTONIC))
        break
    except socket.gaierror:
        time.sleep(0.001)
"""

CLAIM = """
import subprocess, sys, time
begin = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
subprocess.run(["mesherctl", "claim", sys.argv[1]], check=True, stdout=subprocess.DEVNULL)
print(begin)
"""

alpha.wait_for_unit("data-mesher.service")
alpha.wait_until_succeeds("getent ahosts mercury.sol", 30)
log.info("start to READY=1: median %.1f ms of %s" % (
    statistics.median(spans := start_to_ready_ms()), " ".join("%.1f" % span for span in spans)))
beta.wait_for_unit("data-mesher.service")
gamma.wait_for_unit("data-mesher.service")
for machine in (alpha, beta, gamma):
    machine.wait_until_succeeds("getent ahosts neptune.sol && getent ahosts mars.sol", 30)

# A machine whose state is on disk: from start to its own name.
alpha.succeed("cat > /tmp/watch.py <<'END'" + WATCH + "END")
spans = []
for _ in range(5):
    alpha.succeed("systemctl stop data-mesher.service")
    alpha.wait_until_fails("getent ahosts mercury.sol", 10)
    begin, end = alpha.succeed(
        "python3 /tmp/watch.py mercury.sol > /tmp/seen & "
        "python3 -c 'import time; print(time.clock_gettime_ns(time.CLOCK_MONOTONIC))'; "
        "systemctl start data-mesher.socket; wait; cat /tmp/seen"
    ).split()
    spans.append((int(end) - int(begin)) / 1e6)
log.info("systemctl start to the first own name: median %.1f ms of %s" % (
    statistics.median(spans), " ".join("%.1f" % span for span in spans)))

# All machines share one kernel, so one clock.
for machine in (beta, gamma):
    machine.succeed("cat > /tmp/watch.py <<'END'" + WATCH + "END")
alpha.succeed("cat > /tmp/claim.py <<'END'" + CLAIM + "END")
time.sleep(5)
spans = []
for i in range(CLAIMS):
    for machine in (beta, gamma):
        machine.succeed(f"systemd-run -q --unit=watch{i} -p StandardOutput=file:/tmp/seen{i} python3 /tmp/watch.py new{i}.sol")
    time.sleep(0.3)
    begin = int(alpha.succeed(f"python3 /tmp/claim.py new{i}"))
    for machine in (beta, gamma):
        machine.wait_until_succeeds(f"test -s /tmp/seen{i}", 15)
        spans.append((int(machine.succeed(f"cat /tmp/seen{i}")) - begin) / 1e6)
log.info("mesherctl claim on alpha to getaddrinfo on the others: median %.1f ms, longest %.1f ms, %d seen" % (
    statistics.median(spans), max(spans), len(spans)))

time.sleep(5)
before, bytes_before = {m: usage(m) for m in machines}, {m: sent_bytes(m) for m in machines}
time.sleep(IDLE_S)
for machine in machines:
    (ticks, resident, written), sent = usage(machine), sent_bytes(machine) - bytes_before[machine]
    log.info("%s at rest over %d s: CPU %.3f %%, resident %.1f MiB, %d B/s sent, %d bytes written" % (
        machine.name, IDLE_S, (ticks - before[machine][0]) / IDLE_S, resident / 1024, sent / IDLE_S,
        written - before[machine][2]))
