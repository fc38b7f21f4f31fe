# The page begins on configured machines whose daemons have not been started yet.

start_all()
follow(
    "docs/migration.md",
    {
        "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=": lambda: alpha.succeed(
            "sed -n 's/^id = \"\\(.*\\)\"/\\1/p' /etc/data-mesher/config.toml"
        ).strip(),
    },
)
