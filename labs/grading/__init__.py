"""Final submissions against the truth: regret, error of the prediction, and what would have been better."""
