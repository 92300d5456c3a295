"""Which law, which approach, which fit: comparisons with what chance allows."""
