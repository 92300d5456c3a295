"""From a law of the loss to what a task scores."""
