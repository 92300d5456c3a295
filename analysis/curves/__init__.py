"""Laws of whole loss curves under a learning-rate schedule: read curves, fit a law to them, judge it,
predict."""
