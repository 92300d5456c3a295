"""Predictions as titled tables, for a terminal or in Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from isoflop.base.display import Summary
from isoflop.base.formatting import brief, format_seconds, interval
from isoflop.commands.fit_text import parts_words

if TYPE_CHECKING:
    from isoflop.analysis.conventions import FitConventions
    from isoflop.analysis.planning.data_limit import DataLimit
    from isoflop.analysis.planning.inference import Lifetime
    from isoflop.analysis.planning.planned_run import PlannedRun
    from isoflop.analysis.planning.prediction import Prediction
    from isoflop.analysis.planning.predictive import PredictedRun
    from isoflop.analysis.planning.side_by_side import LawAnswer
    from isoflop.sweeps.forecasts.rung import Rung


def predicted(answer: Prediction) -> Iterator[Summary]:
    """The compute-optimal run, and what was asked for besides."""
    flops = ("C", brief(answer.flops), interval(answer.flops_interval), "FLOPs")
    rows = [
        *([] if answer.flops_interval is None else [flops]),
        ("N_opt", brief(answer.n_opt), interval(answer.n_interval), "parameters"),
        ("D_opt", brief(answer.d_opt), interval(answer.d_interval), "tokens"),
        ("D/N", brief(answer.tokens_per_parameter), "", "tokens a parameter"),
        _loss_row(answer.conventions, answer.loss, answer.loss_interval),
        *_run_rows(answer.run, answer.level),
    ]
    if answer.n_predictive is not None:
        rows.append(("N_opt", "", interval(answer.n_predictive), "with the law's form"))
    notes = [parts_words(answer.run.parts)] if answer.run and answer.level else []
    notes += held_inputs(answer)
    yield Summary(f"at {brief(answer.flops)} FLOPs{_beyond(answer)}:", _headers(answer.level), rows, notes)
    if answer.lifetime:
        yield from _lifetime(answer.lifetime, answer.level)
    if answer.data_limit:
        yield from _data_limit(answer.data_limit, answer)


def planned(run: PlannedRun) -> Iterator[Summary]:
    """A run of given size, and how far it is from the compute-optimal one."""
    rows = [
        ("N", brief(run.n), interval(run.n_interval), "parameters"),
        ("D", brief(run.d), interval(run.d_interval), "tokens"),
        ("C", brief(run.flops), interval(run.flops_interval), "FLOPs"),
        ("D/N", brief(run.d / run.n), "", "tokens a parameter"),
        _loss_row(run.conventions, run.loss, run.loss_interval),
        *_run_rows(run.run, run.level),
    ]
    notes = [
        f"compute-optimal at these FLOPs: N {brief(run.optimal_n)}, {run.conventions.quantity} "
        f"{brief(run.optimal_loss)}"
    ]
    if run.optimal_flops is not None:
        notes.append(
            f"the least compute for its loss is {brief(run.optimal_flops)} FLOPs, "
            f"{run.optimal_flops / run.flops:.1%} of its own"
        )
    notes.append(_demand_words(run))
    yield Summary(f"this run{_beyond(run)}:", _headers(run.level), rows, notes)


def trained(rung: Rung, answer: Prediction) -> Iterator[Summary]:
    """The model to train at the budget, as the fit's sweep would."""
    n_params = getattr(rung, f"n_params_{answer.conventions.count}")
    time = "not known" if rung.seconds is None else f"{format_seconds(rung.seconds)} in one worker, by"
    rows = [
        (
            "model",
            f"width {rung.width}, {rung.depth} layers, {rung.heads} heads of {rung.head_dim}, feed-forward "
            f"{rung.ff_width}; {rung.n_params_total:,} parameters, {rung.n_params_non_embedding:,} without "
            "the embedding",
        ),
        (
            "run",
            f"{rung.n_tokens:,} tokens in {rung.steps:,} steps of {rung.batch_size} windows "
            f"({rung.batch_tokens:,} tokens)",
        ),
        (
            "rate",
            f"{brief(rung.peak_lr)} at the peak ({rung.lr_rule}); {rung.schedule}: {rung.warmup_steps:,} "
            f"steps of warm-up, {rung.decay_steps:,} of decay",
        ),
        (
            "memory",
            f"{rung.state_bytes / 1e6:.1f} MB of parameters, gradients and moments, "
            f"{rung.activation_bytes / 1e6:.1f} MB of activations and logits",
        ),
        ("time", f"{time}{':' if rung.seconds is None else ''} {rung.seconds_from}"),
    ]
    distance = f"{n_params / answer.n_opt - 1:+.0%}"
    title = f"to train (width {rung.width} is the nearest of its family, N {distance}):"
    yield Summary(title, (), rows, (rung.command,))


def comparison(laws: tuple[LawAnswer, ...]) -> Iterator[Summary]:
    """The same question under each law; those without an answer say why below."""
    rows = [
        (
            each.name,
            brief(each.n),
            brief(each.d),
            brief(each.flops),
            brief(each.d / each.n if each.d and each.n else None),
            brief(each.loss),
            "not known" if each.extrapolation is None else f"{brief(each.extrapolation)}x",
        )
        for each in laws
        if each.reason is None
    ]
    notes = [f"{each.name}: {each.reason}" for each in laws if each.reason]
    headers = ("law", "N", "D", "FLOPs", "D/N", "loss", "beyond its runs")
    notes.append("losses are each of its own text and do not compare; isoflop laws NAME says what N counts")
    yield Summary("the same question under every law:", headers, rows, notes)


def held_inputs(answer: Prediction) -> list[str]:
    """At which values of its further inputs the law was asked; nothing for a law of N and D."""
    held = [f"{symbol} = {brief(value)}" for symbol, value in answer.held.items()]
    return [f"at {', '.join(held)}; other values: --with, for a given run"] if held else []


def _headers(level: float | None) -> tuple[str, ...]:
    return ("", "", f"{level:.0%} interval", "") if level else ()


def _beyond(answer: Prediction | PlannedRun) -> str:
    from isoflop.analysis.published import ANYWHERE

    extrapolation = answer.extrapolation
    if answer.conventions.flops_range == ANYWHERE:
        return ", of runs whose range is not known"
    return (
        f" ({brief(extrapolation)} times the fitted range)" if extrapolation > 1 else " (in the fitted range)"
    )


def _loss_row(conventions: FitConventions, loss, span) -> tuple[str, str, str, str]:
    unit = conventions.loss_unit or "in the table's unit"
    return conventions.quantity, brief(loss), interval(span), unit


def _run_rows(run: PredictedRun | None, level: float | None) -> list[tuple[str, str, str, str]]:
    if run is None or not level:
        return []
    return [("", "", interval(run.interval), "a run of that size, as measured")]


def _demand_words(run: PlannedRun) -> str:
    demand = run.revealed_demand
    if demand <= 0:
        return "larger than the compute-optimal model: no demand makes it the cheapest of its loss"
    return (
        f"the cheapest model of its loss if {brief(demand)} tokens are served "
        f"{interval(run.revealed_demand_interval)}".rstrip()
        + f", {brief(demand / run.d)} times its training tokens"
    )


def _lifetime(life: Lifetime, level: float | None) -> Iterator[Summary]:
    rows = [
        ("N", brief(life.n), interval(life.n_interval), "parameters"),
        ("D", brief(life.d), interval(life.d_interval), "tokens"),
        ("saved", f"{life.saving:.1%}", interval(life.saving_interval, lambda x: f"{x:.1%}"), ""),
    ]
    notes = [
        f"of {brief(life.optimal_total_flops)} FLOPs that the compute-optimal model takes in training and use"
    ]
    title = f"the cheapest of the same loss, {brief(life.inference_tokens)} tokens served:"
    yield Summary(title, _headers(level), rows, notes)
    smaller = [
        (
            brief(each.n),
            brief(each.d),
            f"{each.overhead:+.1%}",
            brief(each.pays_from),
        )
        for each in life.smaller
    ]
    headers = ("N", "D", "training FLOPs", "pays from (tokens served)")
    yield Summary("smaller models of the same loss:", headers, smaller)


def _data_limit(limit: DataLimit, answer: Prediction) -> Iterator[Summary]:
    rows = [
        ("N", brief(limit.n), interval(limit.n_interval), "parameters"),
        ("D", brief(limit.d), "", "tokens"),
        ("epochs", brief(limit.epochs), interval(limit.epochs_interval), ""),
        _loss_row(answer.conventions, limit.loss, limit.loss_interval),
    ]
    notes = [f"{limit.loss - limit.fresh_loss:+.4f} against as many fresh tokens as the budget could use"]
    if limit.one_epoch is not None:
        notes.append(
            f"{limit.loss - limit.one_epoch.loss:+.4f} against one epoch of a model of "
            f"{brief(limit.one_epoch.n)} parameters"
        )
    if limit.epochs <= 1:
        notes = ["the text does not run out at this budget: each token is seen at most once"]
    else:
        notes.append(f"from here on the best N grows as C^{limit.growth:.2f}; the rest goes to epochs")
    yield Summary(f"over {brief(limit.unique_tokens)} distinct tokens:", _headers(answer.level), rows, notes)
    if limit.epochs <= 1:
        return
    by_epochs = [
        (brief(each.epochs), brief(each.n), f"{each.loss:.4f}") for each in limit.by_epochs if each.n >= 1
    ]
    yield Summary("by epochs, at the same FLOPs:", ("epochs", "N", "loss"), by_epochs)
