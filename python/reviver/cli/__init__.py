"""The command line: one file a command. `reviver.cli.main` finds them; a command is imported when it is called."""
