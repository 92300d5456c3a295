"""Which cells: the sweep's config, its sizes and budgets, learning rates, shared trunks, adaptive choice."""
