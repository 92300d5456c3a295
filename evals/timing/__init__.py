"""What a model's own speed is measured with: a clock, the machine's ceilings, the programs, exact counts."""
