"""isoflop predict"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from isoflop import analysis
from isoflop.arguments import parse
from isoflop.base.formatting import brief, interval


@dataclass(frozen=True)
class Predict:
    """The best size and token budget, and the loss to expect, at a compute budget."""

    fit: tyro.conf.Positional[Path]
    """A fit.json."""
    flops: float
    """Training FLOPs."""
    inference_tokens: float | None = None
    """Tokens to be served: also the cheapest model over training and use (Sardana et al. 2024)."""
    force: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Extrapolate even from a fit that is not certified or not identified."""
    as_json: Annotated[bool, tyro.conf.arg(name="json"), tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object and nothing else."""


def run(argv: list[str]) -> int:
    """Prints the prediction."""
    arguments = parse(Predict, argv, "predict")
    answer = analysis.predict(arguments.fit, arguments.flops, arguments.inference_tokens, arguments.force)
    if arguments.as_json:
        print(json.dumps(answer.to_json()))
    else:
        print(f"at {brief(answer.flops)} FLOPs ({brief(answer.extrapolation)} times the fitted range):")
        print(f"  N_opt {brief(answer.n_opt)} {interval(answer.n_interval)}")
        print(f"  D_opt {brief(answer.d_opt)} {interval(answer.d_interval)}")
        unit = answer.conventions.loss_unit or "(in the table's unit)"
        print(f"  loss  {brief(answer.loss)} {interval(answer.loss_interval)} {unit}")
        if answer.lifetime:
            life = answer.lifetime
            print(
                f"  serving {brief(life.inference_tokens)} tokens: N {brief(life.n)}, D {brief(life.d)}, "
                f"{life.saving:.1%} of {brief(life.optimal_total_flops)} FLOPs saved"
            )
    for warning in answer.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return 0
