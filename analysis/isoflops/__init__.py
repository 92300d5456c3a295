"""IsoFLOP curves: which runs belong to one, its minimum, and power laws through the minima."""
