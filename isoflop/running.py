"""Data, plans, sweeps and reports for notebooks and commands; heavy imports wait for the first call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoflop.base.errors import UserError

if TYPE_CHECKING:
    from isoflop.evals.run import Evaluated
    from isoflop.evals.trained_model import TrainedModel
    from isoflop.sweeps.caps import Caps
    from isoflop.sweeps.forecasts.scoring import Score
    from isoflop.sweeps.grids.adaptive import Adaptive
    from isoflop.sweeps.grids.config import SweepConfig
    from isoflop.sweeps.plan import Plan
    from isoflop.sweeps.progress.status import SweepStatus
    from isoflop.sweeps.registered import Registered
    from isoflop.sweeps.workers.options import WorkerOptions
    from isoflop.train.data.corpus import Corpus


def prepare(source: str, tokenizer: str = "bytes", learnt_from: str | None = None) -> Corpus:
    """Downloads and tokenizes a dataset, or finds it prepared in the cache.

    `learnt_from`: the dataset that a BPE was trained on, if that is another.
    """
    from isoflop.train.data.corpus import prepare as prepare_corpus

    return prepare_corpus(source, tokenizer, learnt_from)


def plan(config: str | Path | SweepConfig, folder: str | Path | None = None) -> Plan:
    """The plan of a sweep, by its config's name, path or value; trains nothing.

    `folder`: that of the sweep, whose registered forecasts are part of the plan.
    """
    from isoflop.sweeps.output_folder import default_folder
    from isoflop.sweeps.plan import make_plan
    from isoflop.sweeps.registered import registered_cells
    from isoflop.sweeps.teachers import with_teachers

    config = _config(config)
    config = with_teachers(config, Path(folder) if folder else default_folder(config))
    further = [prepare(name, config.tokenizer, learnt_from=config.data) for name in config.eval_data]
    forecasts = registered_cells(Path(folder), config) if folder else ()
    varied = [prepare(name, config.tokenizer, learnt_from=config.data) for name in config.axis_values("data")]
    return make_plan(config, prepare(config.data, config.tokenizer), further, forecasts, varied)


def sweep(
    config: str | Path | SweepConfig,
    out: str | Path | None = None,
    launcher: str = "local",
    reporter: Any = None,
    worker_options: WorkerOptions | None = None,
    caps: Caps | None = None,
    launcher_options: str = "",
    adaptive: Adaptive | None = None,
) -> Path:
    """Trains what the sweep's folder still lacks; returns the folder.

    Unless `out` says, it is `outputs/NAME`, with what differs from the config of that name.

    With `adaptive` the cells are chosen on the way. Raises `UserError` for a plan above `caps`, before
    anything is spent.
    """
    from isoflop.sweeps.calibrate import calibrate
    from isoflop.sweeps.launchers import load_launcher, refuse_missing
    from isoflop.sweeps.output_folder import default_folder, kind_of
    from isoflop.sweeps.plan import refuse_one_batch
    from isoflop.sweeps.progress.console import Reporter
    from isoflop.sweeps.queue.store import Store
    from isoflop.sweeps.run import run_sweep
    from isoflop.sweeps.teachers import with_teachers
    from isoflop.sweeps.trackers import load_tracker
    from isoflop.sweeps.workers.options import WorkerOptions

    config = _config(config)
    folder = Path(out) if out else default_folder(config, adaptive=adaptive)
    where = load_launcher(launcher, launcher_options)
    for tracker in config.trackers:
        load_tracker(tracker)
    worker_options = worker_options or WorkerOptions()
    # Before anything is downloaded:
    refuse_one_batch(config, worker_options.execution)
    refuse_missing(launcher, worker_options.execution)
    config = with_teachers(config, folder)
    Store(folder).refuse(config, kind_of(adaptive))
    reporter = reporter or Reporter()
    with reporter.stage("prepare the data"):
        planned = plan(config, folder)
    planned.refuse_batches(worker_options.execution)
    reporter.say(f"folder: {folder}")
    for warning in planned.warnings:
        reporter.warn(warning)
    if caps:
        if caps.max_hours:
            folder.parent.mkdir(parents=True, exist_ok=True)
            caps.refuse(planned.price(*calibrate(planned, where, worker_options, beside=folder.parent)))
        else:
            caps.refuse(planned.price())
    return run_sweep(planned, folder, where, reporter, worker_options, adaptive)


def register(
    folder: str | Path, flops: float, *, widths: Sequence[int] = (), force: bool = False, **named: Any
) -> Registered:
    """Fits the runs of a sweep's folder and writes down what they forecast for a larger budget; see
    `isoflop.sweeps.forecasts.registration`. `named`: options of the fit, such as `law`."""
    from isoflop.analysis.inputs import fit_options
    from isoflop.sweeps.forecasts import registration

    options = fit_options(None, named, "register")
    return registration.register(Path(folder), flops, options, widths, force)


def score(folder: str | Path) -> tuple[Score, ...]:
    """Compares each forecast registered in a sweep's folder with what came of it, and writes that beside it;
    see `isoflop.sweeps.forecasts.scoring`."""
    from isoflop.sweeps.forecasts import scoring

    return scoring.score(Path(folder))


def status(folder: str | Path) -> SweepStatus:
    """What of a sweep is done, running or failed, and the time left; see `isoflop.sweeps.progress.status`."""
    from isoflop.sweeps.progress.status import read_status

    return read_status(Path(folder))


def evaluate(
    folder: str | Path,
    measurement: str,
    options: Any = None,
    *,
    table: str = "",
    launcher: str = "",
    launcher_options: str = "",
    workers: int | None = None,
    worker_options: WorkerOptions | None = None,
    on_model: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda text: None,
    **named: Any,
) -> Evaluated:
    """Measures the models that a sweep's folder kept, by a measurement's name or file, into `evals/NAME.csv`.

    `options`: the measurement's `Options`, or its fields by name: `evaluate(folder, "quantization", bits=(8,
    4))`. `table`: another NAME. `launcher`: who measures, if not this process, with `workers` at the same
    time at most. `on_model` takes how many models of how many are done, `say` a line on the workers. See
    `isoflop.evals`.
    """
    from isoflop.evals.measurement import load_measurement
    from isoflop.evals.run import evaluate_models, measure_here
    from isoflop.evals.table import EvalTable
    from isoflop.sweeps.evaluate import choose_launcher, measure_on_workers
    from isoflop.sweeps.kept_models import kept_models
    from isoflop.sweeps.workers.options import WorkerOptions

    found = load_measurement(measurement)
    chosen = found.options(**named) if options is None else options
    worker_options = worker_options or WorkerOptions()
    open_launcher = choose_launcher(launcher, launcher_options, workers, worker_options.execution)
    models, missing = kept_models(Path(folder))
    results = EvalTable(Path(folder), table or found.name)

    def measure(wanted: Sequence[TrainedModel]) -> None:
        before = len(models) - len(wanted)

        def done(count: int) -> None:
            on_model(before + count, len(models))

        if open_launcher:
            measure_on_workers(wanted, measurement, chosen, results, open_launcher, worker_options, done, say)
        else:
            measure_here(wanted, found, chosen, results, done)

    done = evaluate_models(models, found, chosen, results, measure)
    on_model(len(models), len(models))
    if not missing:
        return done
    warning = (
        f"{missing} finished models were not kept, and are not in the table: a sweep keeps all by --keep all"
    )
    return replace(done, warnings=(warning,))


def _config(config: str | Path | SweepConfig) -> SweepConfig:
    """The config itself, or the one that a name or a path stands for."""
    from isoflop.sweeps.grids.config import SweepConfig, load_config

    if isinstance(config, SweepConfig):
        return config
    if isinstance(config, str | Path):
        return load_config(str(config))
    raise UserError(
        f"{type(config).__name__} is no sweep: give a SweepConfig, a name or the path of a .py file"
    )
