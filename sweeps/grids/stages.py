"""The names of a sweep's stages, as its boards and its log have them."""

TUNING = "tune the learning rate"
GRID = "train the grid"
ROUND = "round"
"""Of an adaptive sweep, followed by its number."""
RETRY = "retry"
"""Followed by the share of the rate."""
CHECK = "check the rates and the schedule"
FORECAST = "train registered forecasts"

SHORT = {
    TUNING: "tuning",
    GRID: "grid",
    ROUND: "grid",
    RETRY: "retries",
    CHECK: "checks",
    FORECAST: "forecasts",
}


def short_name(stage: str) -> str:
    """What a stage is part of, in a word: all rounds of an adaptive sweep are its grid."""
    return next((short for name, short in SHORT.items() if stage.startswith(name)), stage)
