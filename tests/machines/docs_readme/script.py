# alpha has Debian's packages, beta the release files as they lie in a repository. The network's id is new in every run.

start_all()
follow(
    "README.md",
    {
        '"…"': lambda: alpha.succeed(
            "mesherctl network show --dir /etc/data-mesher --json | sed -n 's/.*\"id\": *\\(\"[^\"]*\"\\).*/\\1/p'"
        ).strip(),
    },
)
follow("docs/exports.md", {})
follow("docs/sandbox.md", {})
follow("docs/installing.md", {})
