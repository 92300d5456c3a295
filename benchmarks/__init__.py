"""Side-by-side timings against named peers, one command each: `python -m benchmarks.NAME [--json] [--small]`.

`--small` takes the same path at a size that takes seconds: it proves that the benchmark runs, and its numbers
mean nothing.
"""
