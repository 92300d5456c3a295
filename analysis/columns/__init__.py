"""What a table's columns mean: their names, their units, how parameters and FLOPs are counted."""
