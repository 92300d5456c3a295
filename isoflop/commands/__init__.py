"""One file a command: `run(argv)` returns the exit status."""
