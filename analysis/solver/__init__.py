"""Nonlinear fits in float64, many at once, each with a certificate."""
