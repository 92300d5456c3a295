"""How one cell is trained: spec, data, step, loop, schedules, checkpoints, trackers."""
