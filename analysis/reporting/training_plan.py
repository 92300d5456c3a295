"""What to train next, and what it will cost: the fit's answers at growing budgets, priced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from isoflop.analysis.costs.forecast import forecast
from isoflop.analysis.costs.options import ForecastOptions
from isoflop.analysis.planning.prediction import Prediction, predict
from isoflop.analysis.reporting.tables import Cell, TextTable, counts, flops
from isoflop.base.errors import UserError
from isoflop.base.formatting import NONE, between, format_seconds, number, power, short

if TYPE_CHECKING:
    from isoflop.analysis.reporting.report_data import ReportData

TITLE = "What to train next, and what it will cost"
TIMES = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Budgets of the rows, over the table's largest."""
DEVICE, HERE, ON_DEVICE = "h100", "time here", "hours on an H100"
SMALLEST_PRICED = 1e8
"""Parameters below which a device's peak says nothing of its time: launches fill it."""


def plan_table(data: ReportData) -> TextTable:
    """The best size, tokens and loss at the largest budget and beyond it, with its time here and on a GPU."""
    rows, refusals = [], []
    rate = measured_rate(data)
    for times in TIMES:
        try:
            answer = predict(data.fit, times * float(data.table.C_R.max()))
        except UserError as error:
            refusals.append(str(error))
            continue
        rows.append(_row(data, answer, rate))
    gpu = any(row[-1] != NONE for row in rows)
    headers = ("FLOPs", "N", "N interval", "tokens", "loss", "a run's interval", HERE, ON_DEVICE)
    shown = {HERE: rate is not None, ON_DEVICE: gpu}
    keep = [k for k, name in enumerate(headers) if shown.get(name, True)]
    if not rows:
        return TextTable("At growing budgets", "", headers, ())
    return TextTable(
        "At growing budgets",
        _caption(data, rate, gpu, refusals[:1]),
        tuple(headers[k] for k in keep),
        tuple(tuple(row[k] for k in keep) for row in rows),
    )


def measured_rate(data: ReportData) -> float | None:
    """FLOP/s of a run of the largest budget, the median; None where the table has no times."""
    tokens_R = data.table.column("tokens_per_second")
    if tokens_R is None:
        return None
    per_second = tokens_R.astype(float) * data.table.C_R / data.table.D_R
    largest = 0.9 * data.table.C_R.max() < data.table.C_R
    found = per_second[largest & np.isfinite(per_second)]
    return float(np.median(found)) if len(found) else None


def _row(data: ReportData, answer: Prediction, rate: float | None) -> tuple[Cell, ...]:
    time = NONE if rate is None else (format_seconds(answer.flops / rate), answer.flops / rate)
    span = answer.run.interval if answer.run and answer.level else answer.loss_interval
    return (
        flops(answer.flops), *counts(answer.n_opt), _sizes(answer), *counts(answer.d_opt),
        number(answer.loss), between(span), time, _device_hours(data, answer),
    )  # fmt: skip


def _sizes(answer: Prediction) -> str:
    low, high = answer.n_interval or (None, None)
    return NONE if low is None or high is None else f"[{short(low)}, {short(high)}]"


def _device_hours(data: ReportData, answer: Prediction) -> str:
    if answer.n_opt < SMALLEST_PRICED:
        return NONE
    options = ForecastOptions(flops=answer.flops, device=DEVICE)
    try:
        training = forecast(data.fit, options).training
    except UserError:
        return NONE
    if training is None:
        return NONE
    hours = training.device_hours
    return f"{number(hours.expected, 2)} [{number(hours.low, 2)}, {number(hours.high, 2)}]"


def _caption(data: ReportData, rate: float | None, gpu: bool, refusals: list[str]) -> str:
    said = ["The fit's best run at the table's largest budget and at multiples of it."]
    if rate is not None:
        said.append(f"Time here: at {power(rate)} FLOP/s, as steps of the largest runs took, in one worker.")
    if gpu:
        said.append("Hours on an H100: device-hours at 40% to 50% of its peak, as large models reach.")
    said += [f"No further: {refusal}." for refusal in refusals]
    said.append("Memory, energy, money and serving: isoflop forecast FIT.json --flops C.")
    return " ".join(said)
