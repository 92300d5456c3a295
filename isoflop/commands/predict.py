"""isoflop predict"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from isoflop import analysis
from isoflop.arguments import Flag, JsonFlag, parse
from isoflop.base.formatting import brief, interval
from isoflop.commands.fit_text import parts_words
from isoflop.printing import print_result

if TYPE_CHECKING:
    from isoflop.analysis.planning.prediction import Prediction


@dataclass(frozen=True)
class Predict:
    """The best size and token budget, and the loss to expect, at a compute budget."""

    fit: tyro.conf.Positional[Path]
    """A fit.json."""
    flops: float
    """Training FLOPs."""
    group: str | None = None
    """Which group's law, of a fit with shared parameters (--share)."""
    inference_tokens: float | None = None
    """Tokens to be served: also the cheapest model over training and use (Sardana et al. 2024)."""
    force: Flag = False
    """Extrapolate even from a fit that is not certified or not identified."""
    as_json: JsonFlag = False


def run(argv: list[str]) -> int:
    """Prints the prediction."""
    arguments = parse(Predict, argv, "predict")
    answer = analysis.predict(
        arguments.fit, arguments.flops, arguments.inference_tokens, arguments.force, arguments.group
    )
    print_result(answer, arguments.as_json, _lines(answer), soft_wrap=True)
    return 0


def _lines(answer: Prediction) -> Iterator[str]:
    yield f"at {brief(answer.flops)} FLOPs ({brief(answer.extrapolation)} times the fitted range):"
    yield f"  N_opt {brief(answer.n_opt)} {interval(answer.n_interval)}"
    yield f"  D_opt {brief(answer.d_opt)} {interval(answer.d_interval)}"
    unit = answer.conventions.loss_unit or "(in the table's unit)"
    yield f"  {answer.conventions.quantity:<5} {brief(answer.loss)} {interval(answer.loss_interval)} {unit}"
    if (run := answer.run) and answer.level:
        yield f"  a run of that size: {interval(run.interval)} {unit}, {run.level:.0%} predictive"
        yield f"    {parts_words(run.parts)}"
        yield f"  N_opt with the law's form {interval(answer.n_predictive)}"
    if life := answer.lifetime:
        yield (
            f"  serving {brief(life.inference_tokens)} tokens: N {brief(life.n)}, D {brief(life.d)}, "
            f"{life.saving:.1%} of {brief(life.optimal_total_flops)} FLOPs saved"
        )
