"""The run that a law recommends, and its intervals carried through to what the model costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from isoflop.analysis.costs.architectures.model_shape import ForecastModel
from isoflop.analysis.costs.hardware.device import Device
from isoflop.analysis.costs.options import ForecastOptions
from isoflop.analysis.costs.serving import Replica, Serving, ServingPoint, serving_point
from isoflop.analysis.costs.training import TrainingForecast, training_memory
from isoflop.analysis.options import CountName
from isoflop.analysis.planning.planned_run import planned_run
from isoflop.analysis.planning.prediction import predict
from isoflop.analysis.planning.question import Question
from isoflop.analysis.result import LawFit
from isoflop.analysis.uncertainty.intervals import Interval
from isoflop.base.errors import UserError
from isoflop.base.json_values import Serializable

ShapeAt = Callable[[float, CountName], ForecastModel]
"""`shape_at(n_params, count)`: the model of about so many parameters, counted as the law counts them."""


@dataclass(frozen=True)
class LawRun:
    """A run by a law: parameters in its counting, tokens, FLOPs, each with its interval if it has one."""

    law: str
    n: float
    d: float
    flops: float
    count: CountName
    n_interval: Interval | None
    d_interval: Interval | None
    flops_interval: Interval | None
    level: float | None
    form_included: bool
    """Whether the interval of N takes in the law's form, or its parameters alone."""
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    """What to know of published constants."""


def law_run(fit: LawFit, law: str, options: ForecastOptions) -> LawRun:
    """The compute-optimal run for the one quantity that is given, or the run that two of them determine.

    Raises `UserError` as `isoflop.analysis.predict` does.
    """
    given = {name: getattr(options, name) for name in ("flops", "loss", "n_params", "tokens")}
    if not any(given.values()):
        raise UserError(f"{law}: a law needs --flops, the training budget, such as 1e21, or --loss")
    counted = fit.conventions
    # A table with one count and no word of what it counts: all parameters, as most have it.
    count = "total" if counted.count_as_given else cast(CountName, counted.count)
    question = Question(**given)
    if question.fixes_a_run:
        run = planned_run(fit, question, options.force)
        intervals = (run.n_interval, run.d_interval, run.flops_interval)
        return LawRun(
            law, run.n, run.d, run.flops, count, *intervals, run.level, False, run.warnings, run.notes
        )
    best = predict(fit, force=options.force, **given)
    of_form = options.flops is not None and best.n_predictive is not None and fit.forms is not None
    return LawRun(
        law=law,
        n=best.n_opt,
        d=best.d_opt,
        flops=best.flops,
        count=count,
        n_interval=best.n_predictive if of_form else best.n_interval,
        d_interval=best.d_interval,
        flops_interval=best.flops_interval,
        level=best.level,
        form_included=of_form,
        warnings=best.warnings,
        notes=best.notes,
    )


@dataclass(frozen=True)
class Carried:
    """A quantity at the recommended run, and its interval; None at an end that is open, or where the model at
    that end does not fit the devices."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Recommended(Serializable):
    """The law's run, and what its intervals make of the costs."""

    run: LawRun
    batch: int | None
    """Requests in flight at which serving is compared; None where the models at both ends share none."""
    quantities: dict[str, Carried]
    """By name: those of training with the interval of its FLOPs, of size and serving with that of N, on the
    same devices. At a given budget training has none: its FLOPs are the budget's, whatever N."""


def recommendation(
    run: LawRun,
    made: ShapeAt,
    training: TrainingForecast | None,
    serving: Serving | None,
    device: Device,
    options: ForecastOptions,
) -> Recommended:
    """The run with its intervals carried through."""
    models = [None if n is None else made(n, run.count) for n in (run.n, *(run.n_interval or (None, None)))]
    rows: dict[str, list[float | None]] = {}
    batch = None
    if training is not None:
        rows["training state, bytes"] = [_state(model, device, options) for model in models]
    if serving is not None:
        replicas = [None if m is None else Replica.of(m, device, serving.devices, options) for m in models]
        batch = _common_batch(replicas, serving, options)
        rows |= _served(replicas, serving, batch, options)
    quantities = {"parameters": _carried([None if m is None else m.n_params for m in models])}
    quantities |= _trained(run, training)
    quantities |= {name: _carried(row) for name, row in rows.items() if row[0] is not None}
    return Recommended(run, batch, quantities)


def _carried(row: list[float | None]) -> Carried:
    """A quantity at N and at the ends of N's interval, as its own interval.

    It may fall with N, and with the steps of a rule for shapes do neither: the interval holds all three.
    """
    value, at_low, at_high = row
    assert value is not None
    if at_low is not None and at_high is not None:
        return Carried(value, min(value, at_low, at_high), max(value, at_low, at_high))
    falls = (at_low is not None and at_low > value) or (at_high is not None and at_high < value)
    return Carried(value, *((at_high, at_low) if falls else (at_low, at_high)))


def _trained(run: LawRun, training: TrainingForecast | None) -> dict[str, Carried]:
    """Of training: in proportion to its FLOPs."""
    found = {"training tokens": Carried(run.d, *(run.d_interval or (None, None)))}
    if training is None:
        return found
    scales = [None if c is None else c / run.flops for c in run.flops_interval or (None, None)]
    expected = {
        "training FLOPs": run.flops,
        "training hours": training.hours.expected,
        "training money": training.money and training.money.expected,
        "training kWh": training.kwh and training.kwh.expected,
    }
    return found | {
        name: Carried(value, *(None if scale is None else value * scale for scale in scales))
        for name, value in expected.items()
        if value is not None
    }


def _state(model: ForecastModel | None, device: Device, options: ForecastOptions) -> float | None:
    """Bytes of weights, gradients, master weights and moments, over all devices."""
    if model is None:
        return None
    return training_memory(model, device, options, 1, recomputes=False).sharded


def _common_batch(replicas: list[Replica | None], serving: Serving, options: ForecastOptions) -> int | None:
    """The largest of the table's batches that the models at both ends fit too; of the first prompt."""
    prompt = options.prompt[0]
    most = min(each.largest_batch(prompt + options.output) for each in replicas if each is not None)
    fitting = [p.batch for p in serving.points if p.prompt == prompt and p.batch <= most]
    return max(fitting, default=None)


def _served(
    replicas: list[Replica | None], serving: Serving, batch: int | None, options: ForecastOptions
) -> dict[str, list[float | None]]:
    prompt = options.prompt[0]
    at = batch or min(point.batch for point in serving.points if point.prompt == prompt)
    points = [
        None
        if each is None or at > each.largest_batch(prompt + options.output)
        else serving_point(each, prompt, at, options)
        for each in replicas
    ]
    return {
        "weights, bytes": [None if each is None else each.weight_bytes for each in replicas],
        "KV cache, bytes a token": [None if each is None else each.kv_per_token for each in replicas],
        **{name: [_expected(point, field) for point in points] for name, field in SERVED.items()},
    }


SERVED = {
    "TTFT, s": "ttft",
    "TPOT, s": "tpot",
    "output tokens a second": "tokens_per_second",
    "money a million output tokens": "cost_per_million",
    "joules an output token": "joules_per_token",
}
"""What is compared of serving: fields of `ServingPoint` by name."""


def _expected(point: ServingPoint | None, field: str) -> float | None:
    estimate = None if point is None else getattr(point, field)
    return None if estimate is None else estimate.expected
