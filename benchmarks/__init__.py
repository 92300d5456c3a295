"""Side-by-side timings against named peers, one command each: `python -m benchmarks.NAME [--json]`."""
