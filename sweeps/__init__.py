"""Which cells are trained, in what order, and where: grid, plan, store, launchers, configs."""
