"""Loss curves as data: what a curve is, and how it is read."""
