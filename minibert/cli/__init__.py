"""The `minibert` command: one thin file for each subcommand."""
