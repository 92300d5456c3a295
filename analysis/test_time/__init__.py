"""Compute spent when a model answers: repeated samples, where to spend them, what training they replace."""
