"""Unlimited ids of known entropy: `synthetic:zipf`, `synthetic:markov,order=2,vocab=256,seed=0`."""

from __future__ import annotations

from isoflop.train.synthetic import open_process
from isoflop.train.synthetic_corpus import SyntheticSource


def open_source(argument: str) -> SyntheticSource:
    """The process `NAME[,KEY=VALUE...]`; see `train/synthetic/`."""
    return SyntheticSource(argument, open_process(argument))
