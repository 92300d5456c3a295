"""What a scaling law's exponent costs: the classical grid of fresh cosine runs against this one.

    python -m benchmarks.grid_cost [--json] [--small] [--simulations N] [--worlds W] [--real] [--workers N]

FLOPs until the 95% interval of the exponent a has a half-width of .02, and until that of N_opt at 100 times
the largest budget has one of 10%, tuning and checks included; `cost_ratio_*` is that of the adaptive
sweep on shared trunks over the classical grid's.
"""
