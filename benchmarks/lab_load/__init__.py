"""A lab under a class's load, with and without kills of its server and workers."""
