"""Part 3: a ladder on synthetic data, as large as fits the part's time; its largest budget's forecast is
registered before that budget is trained, and scored after."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.accelerator.pace import measure_together
from benchmarks.accelerator.part import Part
from benchmarks.accelerator.pricing import IDS, SMALL, TOPS, LadderPrice, Pace, ladder_config, price
from benchmarks.accelerator.tables import Row, Table
from benchmarks.processes import MeasurementError, run_text
from benchmarks.training_speed import RandomTokens
from isoflop.base.formatting import compact
from isoflop.running import prepare
from isoflop.sweeps.forecasts.command_line import sweep_command
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.launchers.local import memory_share
from isoflop.train.data.corpus import Corpus

LADDER = Table(
    "ladder",
    (
        *("device", "stage", "workers", "width", "windows", "members", "compile_seconds", "step_seconds"),
        *("flops_per_second", "flops", "steps", "programs", "priced_seconds", "seconds", "note", "error"),
    ),
    "The calibration, so many workers on the device at the same time (FLOPs a second are those of all), then "
    "the price of ladders by their largest budget, then what was done.",
)
TABLES = (LADDER,)
KEPT = ("runs.csv", "tuning.csv")
SHARED_BY = 4
"""Workers on one device: more than one compile side by side."""
SLACK = 1.25
"""Time over its price that a ladder is given: workers wait for each other at the ends of stages."""
AFTERWARDS_SECONDS = 75.0
"""What starting, registering, scoring and fitting take."""
CALIBRATED = ((64, 64, 2), (160, 64, 2), (320, 128, 2))
"""Width, windows and members."""


def measure(part: Part, device: str) -> None:
    """Calibrate, choose, train, forecast, train the rest, score; tables are kept as they are throughout."""
    facts = {"device": device}
    base = SMALL if part.small else ladder_config(TOPS[0])
    corpus = prepare(base.data)
    config, workers = (base, 1) if part.small else _choose(part, facts, corpus)
    if config is None:
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch) / "ladder"
        try:
            _train(part, facts, config, workers, folder)
        finally:
            _keep(part, folder, config.budgets[-1])
    part.append(LADDER, {**facts, "stage": "the chain's entropy", "note": _entropy(corpus, config)})


def _choose(part: Part, facts: Row, corpus: Corpus) -> tuple[SweepConfig | None, int]:
    """The largest ladder that fits the time left, and the workers that train it."""
    paces = [pace for count in (SHARED_BY, 1) if (pace := _calibrate(part, facts, count))]
    for top in TOPS if paces else ():
        config = ladder_config(top)
        prices = [(price(config, corpus, pace), pace.workers) for pace in paces]
        cheapest, workers = min(prices, key=lambda pair: pair[0].seconds)
        fits = SLACK * cheapest.seconds + AFTERWARDS_SECONDS < part.left
        part.append(LADDER, {**facts, **_priced(top, cheapest), "workers": workers, "note": _fit_word(fits)})
        if fits:
            return config, workers
    part.append(LADDER, {**facts, "stage": "choose a ladder", "error": "none fits the time left"})
    return None, 1


def _priced(top: float, priced: LadderPrice) -> Row:
    return {
        "stage": f"price of a ladder to {compact(top)}",
        "flops": float(priced.flops),
        "steps": priced.steps,
        "programs": priced.programs,
        "priced_seconds": priced.seconds,
    }


def _fit_word(fits: bool) -> str:
    return "fits" if fits else "too long"


def _calibrate(part: Part, facts: Row, workers: int) -> Pace | None:
    """The pace of so many workers at once."""
    config = ladder_config(TOPS[0])
    models = [config.model_at(width, RandomTokens(IDS)) for width, _, _ in CALIBRATED]
    settings = [
        {"model": asdict(model), "batch": windows, "dtype": config.dtype, "members": members}
        for model, (_, windows, members) in zip(models, CALIBRATED, strict=True)
    ]
    shape = [dict(zip(("width", "windows", "members"), each, strict=True)) for each in CALIBRATED]
    try:
        found = measure_together(part, workers, settings, memory_share(workers))
    except MeasurementError as error:
        part.append(LADDER, {**facts, "stage": "calibration", "workers": workers, "error": str(error)})
        return None
    flops = [
        members * windows * config.model.context_length * _token_flops(config, width)
        for width, windows, members in CALIBRATED
    ]
    for each, result, step_flops in zip(shape, found, flops, strict=True):
        rate = workers * step_flops / result["step_seconds"]
        row = {**facts, "stage": "calibration", "workers": workers, **each, **result}
        part.append(LADDER, row | {"flops_per_second": rate})
    compiling = sum(result["compile_seconds"] for result in found) / len(found)
    return Pace(workers, tuple(flops), tuple(result["step_seconds"] for result in found), compiling)


def _token_flops(config: SweepConfig, width: int) -> int:
    from isoflop.models import ledger

    return ledger(config.model_at(width, RandomTokens(IDS))).train_flops


def _train(part: Part, facts: Row, config: SweepConfig, workers: int, folder: Path) -> None:
    """The commands that a person would type; ends at the first one that fails."""
    *below, top = config.budgets
    sweep = _sweep_words(replace(config, budgets=tuple(below)), workers, folder, part.small)
    stages = (
        (f"train the budgets below {compact(top)}", sweep),
        # There is no time for a second try, nor for more runs: what the fit lacks stands in the forecast.
        ("register the forecast", ["register", str(folder), "--flops", compact(top), "--force"]),
        (f"train {compact(top)}", sweep),
        ("score the forecast", ["score", str(folder)]),
        ("fit all runs", ["fit", str(folder / "runs.csv"), "--out", str(part.out)]),
    )
    for stage, words in stages:
        if not _run(part, facts, stage, words):
            return
        _keep(part, folder, top)


def _run(part: Part, facts: Row, stage: str, words: Sequence[str]) -> bool:
    """Run a command of isoflop's, and file what it took; whether it succeeded."""
    row = {**facts, "stage": stage, "note": f"isoflop {shlex.join(_shown(words))}"}
    began = time.monotonic()
    try:
        run_text([sys.executable, "-m", "isoflop", *words], part.left, part.env)
    except MeasurementError as error:
        part.append(LADDER, row | {"seconds": time.monotonic() - began, "error": str(error)})
        return False
    part.append(LADDER, row | {"seconds": time.monotonic() - began})
    return True


def _sweep_words(config: SweepConfig, workers: int, folder: Path, small: bool) -> list[str]:
    """The words after `isoflop` that train a ladder."""
    words = shlex.split(sweep_command(config, folder, config))[1:]
    shared = ["--launcher-options", f"workers_per_gpu={workers}"] if workers > 1 else []
    return [*words, "--out", str(folder), "--no-report", *shared]


def _shown(words: Sequence[str]) -> list[str]:
    """A command's words with no path of this machine's scratch folders."""
    return [Path(word).name if Path(word).is_absolute() else word for word in words]


def _keep(part: Part, folder: Path, top: float) -> None:
    """Copy what the sweep's folder has of tables, forecast and score to where results are."""
    from isoflop.sweeps.registered import folder_of

    where = folder_of(folder, top)  # with the fit of the forecast, without which it can't be scored again
    for source in (*(folder / name for name in KEPT), *where.glob("*.json")):
        if source.exists():
            target = part.out / source.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)


def _entropy(corpus: Corpus, config: SweepConfig) -> str:
    floor = corpus.floor(config.model.context_length)
    return f"{floor:.4f} nats a token, which the fit's E is to be held against"
