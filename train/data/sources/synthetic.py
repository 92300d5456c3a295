"""Unlimited ids of known entropy: `synthetic:zipf`, `synthetic:markov,order=2,vocab=256,seed=0`."""

from __future__ import annotations

from isoflop.base.plugin_files import pin
from isoflop.train.data.processes import open_process
from isoflop.train.data.synthetic_corpus import SyntheticSource


def open_source(argument: str) -> SyntheticSource:
    """The process `NAME[,KEY=VALUE...]`; see `train/data/processes/`. One in a file of the user's own is
    pinned: workers make its ids anew, and must do so by the same code."""
    name, comma, settings = argument.partition(",")
    pinned = pin(name, "synthetic process") + comma + settings
    return SyntheticSource(pinned, open_process(pinned))
