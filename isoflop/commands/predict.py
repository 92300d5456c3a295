"""isoflop predict"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from isoflop import analysis
from isoflop.arguments import Flag, JsonFlag, parse
from isoflop.base.formatting import brief, interval
from isoflop.commands.fit_text import parts_words
from isoflop.commands.jax_setup import set_up_jax
from isoflop.printing import print_result

if TYPE_CHECKING:
    from isoflop.analysis.planning.prediction import Prediction
    from isoflop.sweeps.forecasts.rung import Rung


@dataclass(frozen=True)
class Predict:
    """The best size and token budget, and the loss to expect, at a compute budget."""

    fit: tyro.conf.Positional[str]
    """A fit.json, a folder that holds one, or published constants by name: chinchilla:besiroglu."""
    flops: float
    """Training FLOPs."""
    group: str | None = None
    """Which group's law, of a fit with shared parameters (--share)."""
    inference_tokens: float | None = None
    """Tokens to be served: also the cheapest model over training and use (Sardana et al. 2024)."""
    force: Flag = False
    """Extrapolate even from a fit that is not certified or not identified."""
    config: Flag = False
    """Also the model to train at that budget, as the fit's sweep would train it: shape, tokens, batch, rate,
    memory, time, and the command. The fit lies in a sweep's folder."""
    as_json: JsonFlag = False


def run(argv: list[str]) -> int:
    """Prints the prediction."""
    arguments = parse(Predict, argv, "predict")
    set_up_jax()
    answer = analysis.predict(
        arguments.fit, arguments.flops, arguments.inference_tokens, arguments.force, arguments.group
    )
    rung = _rung(Path(arguments.fit), answer) if arguments.config else None
    lines = [*_lines(answer), *(_rung_lines(rung, answer) if rung else ())]
    print_result(_Answer(answer, rung), arguments.as_json, lines, soft_wrap=True)
    return 0


@dataclass(frozen=True)
class _Answer:
    """A prediction, and the model to train."""

    prediction: Prediction
    rung: Rung | None

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.prediction.warnings

    def to_json(self) -> dict[str, Any]:
        """The prediction's object; the model under `config`."""
        config = {} if self.rung is None else {"config": self.rung.to_json()}
        return self.prediction.to_json() | config


def _rung(fit: Path, answer: Prediction) -> Rung:
    from isoflop.sweeps.forecasts.rung import rung_at

    folder = fit if fit.is_dir() else fit.parent
    return rung_at(folder, answer.flops, answer.n_opt, answer.conventions.count)


def _rung_lines(rung: Rung, answer: Prediction) -> Iterator[str]:
    from isoflop.sweeps.progress.console import format_seconds

    count = answer.conventions.count
    n_params = getattr(rung, f"n_params_{count}")
    yield f"to train (width {rung.width} is the nearest of its family, N {n_params / answer.n_opt - 1:+.0%}):"
    yield (
        f"  model   width {rung.width}, {rung.depth} layers, {rung.heads} heads of {rung.head_dim}, "
        f"feed-forward {rung.ff_width}; {rung.n_params_total:,} parameters, "
        f"{rung.n_params_non_embedding:,} without the embedding"
    )
    yield (
        f"  run     {rung.n_tokens:,} tokens in {rung.steps:,} steps of {rung.batch_size} windows "
        f"({rung.batch_tokens:,} tokens)"
    )
    yield (
        f"  rate    {brief(rung.peak_lr)} at the peak ({rung.lr_rule}); {rung.schedule}: "
        f"{rung.warmup_steps:,} steps of warm-up, {rung.decay_steps:,} of decay"
    )
    yield (
        f"  memory  {rung.state_bytes / 1e6:.1f} MB of parameters, gradients and moments, "
        f"{rung.activation_bytes / 1e6:.1f} MB of activations and logits"
    )
    if rung.seconds is None:
        yield f"  time    not known: {rung.seconds_from}"
    else:
        yield f"  time    {format_seconds(rung.seconds)} in one worker, by {rung.seconds_from}"
    yield f"  {rung.command}"


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
