# The page begins on machines that work.

start_all()
for machine in (alpha, beta):
    machine.wait_for_unit("data-mesher.service")
    machine.wait_until_succeeds("getent ahosts mars.sol && getent ahosts mercury.sol", timeout=30)
follow("docs/troubleshooting.md", {})
