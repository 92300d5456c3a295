"""What a fitted law says of a budget: the best split, the loss there, and its interval."""
