"""Forecasts for a budget that a sweep has not trained: registered before its runs, scored after."""
