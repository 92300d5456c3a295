"""What a table of runs holds: its cells, its rows, and which rows belong together."""
