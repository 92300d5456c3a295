"""The functions that a notebook calls: the table however it comes, and options by keyword."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoflop.analysis.approaches import fit as fitting
from isoflop.analysis.comparison import competition, coverage
from isoflop.analysis.comparison import fits as comparing
from isoflop.analysis.comparison import rolling as rolled
from isoflop.analysis.design import next_runs as choosing
from isoflop.analysis.inputs import as_fit, as_table, fit_options, holds_a_fit
from isoflop.analysis.options import FitOptions
from isoflop.analysis.result import LawFit
from isoflop.analysis.run_table import Readable, RunTable

if TYPE_CHECKING:
    from isoflop.analysis.comparison.competition import Competition
    from isoflop.analysis.comparison.fits import Comparison
    from isoflop.analysis.design.next_runs import IdentifyingRuns, Proposal
    from isoflop.analysis.downstream.two_step import TwoStep
    from isoflop.analysis.reporting.report import Report
    from isoflop.analysis.result import Coverage
    from isoflop.analysis.rolling_scores import Rolling

Runs = RunTable | Readable | Sequence[Readable]
"""A table that is loaded, or whatever `load_runs` takes."""
Columns = Mapping[str, str] | str | None


def fit(
    runs: Runs,
    options: FitOptions | None = None,
    *,
    columns: Columns = None,
    where: str | None = None,
    metric: str | None = None,
    **named: Any,
) -> LawFit:
    """Fits a law to `runs`; by default approach 3 with the law `chinchilla`.

    Args:
        runs: a `RunTable`, or what `load_runs` takes: a data frame, a file, a sweep's folder.
        options: a `FitOptions`.
        columns, where, metric: as in `load_runs`, for what is not loaded yet.
        named: fields of `FitOptions`, in place of those of `options`.

    With `holdout` the numbers are those of the runs below it, and `.holdout` scores the runs above.

    >>> import isoflop
    >>> isoflop.fit("runs.csv", bootstrap=0).identified["alpha"]
    True

    Raises:
        UserError: the table cannot carry what is asked, or an option is wrong, in one line with the mend. A
            doubtful fit is no error: see its certificate, `identified` and `warnings`.
    """
    options = fit_options(options, named, "fit")
    table = as_table(runs, options.law, columns=columns, where=where, metric=metric)
    return fitting.fit(table, options)


def compete(
    runs: Runs,
    options: FitOptions | None = None,
    laws: Sequence[str] | None = None,
    *,
    columns: Columns = None,
    where: str | None = None,
    metric: str | None = None,
    **named: Any,
) -> Competition:
    """Fits every law, or `laws`, below the holdout (the largest budget, unless `holdout` is given) and scores
    it above. Arguments and errors otherwise as for `fit`.

    >>> import isoflop
    >>> found = isoflop.compete("runs.csv", laws=["chinchilla"], holdout=1e12)
    >>> found.best
    'chinchilla'
    """
    options = fit_options(options, named, "compete")
    table = as_table(runs, options.law, columns=columns, where=where, metric=metric)
    return competition.compete(table, options, laws)


def check_coverage(
    runs: Runs,
    options: FitOptions | None = None,
    simulations: int = 200,
    progress: Callable[[float], None] = lambda share: None,
    *,
    columns: Columns = None,
    where: str | None = None,
    metric: str | None = None,
    **named: Any,
) -> Coverage:
    """How often the intervals hold the truth, in tables simulated from the fit; arguments otherwise as for
    `fit`.
    """
    options = fit_options(options, named, "check_coverage")
    table = as_table(runs, options.law, columns=columns, where=where, metric=metric)
    return coverage.check_coverage(table, options, simulations, progress)


def rolling(
    runs: Runs,
    options: FitOptions | None = None,
    progress: Callable[[float], None] = lambda share: None,
    *,
    columns: Columns = None,
    where: str | None = None,
    metric: str | None = None,
    **named: Any,
) -> Rolling:
    """Errors and coverage of predictive intervals against distance: the law is fitted below a growing cut in
    compute and scored on all that lies above it. Arguments and errors otherwise as for `fit`.

    >>> import isoflop
    >>> isoflop.rolling("runs.csv").all.coverage > 0.8
    True
    """
    options = fit_options(options, named, "rolling")
    table = as_table(runs, options.law, columns=columns, where=where, metric=metric)
    return rolled.rolling(table, options, progress)


def compare(
    a: Runs | LawFit,
    b: Runs | LawFit,
    options: FitOptions | None = None,
    *,
    columns: Columns = None,
    where: str | None = None,
    metric: str | None = None,
    names: tuple[str, str] | None = None,
    **named: Any,
) -> Comparison:
    """How many times the FLOPs `b` needs for the loss of `a`, over compute (`.multiplier`), and their
    parameters and exponents side by side, with what is not alike in them.

    `a` and `b`: a `LawFit`, the path of a `fit.json`, or what `fit` takes, fitted by the options. `names`:
    what the two are called; by default their sources.

    >>> import isoflop
    >>> first = isoflop.fit("runs.csv", bootstrap=0)
    >>> float(isoflop.compare(first, first).to_frame()["difference"]["alpha"])
    0.0
    """
    options = fit_options(options, named, "compare")
    reading = {"columns": columns, "where": where, "metric": metric}
    first, second = (_table_or_fit(item, reading) for item in (a, b))
    return comparing.compare(first, second, options, names)


def _table_or_fit(item: Any, reading: dict[str, Any]) -> RunTable | LawFit:
    if isinstance(item, LawFit) or (isinstance(item, str | Path) and holds_a_fit(item)):
        return as_fit(item)
    return as_table(item, **reading)


def compare_families(
    runs: Runs,
    by: str,
    options: FitOptions | None = None,
    *,
    columns: Columns = None,
    where: str | None = None,
    metric: str | None = None,
    **named: Any,
) -> tuple[Comparison, ...]:
    """The families of one table, told apart by the column `by`: each of its further values against the first.

    Arguments and errors otherwise as for `fit`.
    """
    table = as_table(runs, columns=columns, where=where, metric=metric)
    return comparing.compare_families(table, by, fit_options(options, named, "compare_families"))


def write_comparisons(comparisons: Sequence[Comparison], out: str | Path) -> Path:
    """Writes comparisons as one page, `compare.html`, with the figures beside it; returns the page."""
    from isoflop.analysis.reporting import comparison_page  # drawing needs matplotlib

    return comparison_page.write_comparisons(tuple(comparisons), Path(out))


def next_runs(
    runs: Runs,
    target: str | None = None,
    half_width: float | None = None,
    max_flops: float | None = None,
    options: FitOptions | None = None,
    *,
    columns: Columns = None,
    where: str | None = None,
    metric: str | None = None,
    **named: Any,
) -> Proposal | IdentifyingRuns:
    """The runs to do next; see `isoflop.analysis.design.next_runs`.

    Args:
        runs: as for `fit`.
        target: `a`, `b`, `n_opt@FLOPS` or `loss@FLOPS`: the runs that narrow its interval most per FLOP.
            Without one: the runs that identify what the fit leaves open, and where it leaves nothing open,
            those that narrow `a`.
        half_width: half of the interval wanted; of `n_opt` a share of it, of a loss nats.
        max_flops: what the runs may cost together; as much as the table's own did unless given.

    The answer rests on the fit that `options` and `named` ask for, as `fit` takes them.
    """
    table = as_table(runs, columns=columns, where=where, metric=metric)
    goal = choosing.goal_of(target, half_width, max_flops)
    return choosing.next_runs(table, goal, fit_options(options, named, "next_runs"))


def report(
    runs: Runs,
    out: str | Path | None = None,
    options: FitOptions | None = None,
    laws: Sequence[str] | None = None,
    *,
    columns: Columns = None,
    where: str | None = None,
    metric: str | None = None,
    rolling: bool = False,
    **named: Any,
) -> Report:
    """Fits a table every way the page shows, draws the figures and writes the page.

    Args:
        runs, columns, where, metric, named: as for `fit`.
        out: the folder to write `report.html`, `fit.json` and `figures/` to; by default the sweep's own
            folder, or `outputs/NAME` for the table NAME.csv.
        options: of the fit (approach 3); the other fits of the page follow them.
        rolling: with rolling hold-outs, which take about as long as the rest.
        laws: what competes with the fit's own law on the largest budget, held out; by default the usual few.

    Raises:
        UserError: the table cannot be read or fitted, or the folder not written, in one line.
    """
    from isoflop.analysis.reporting import report as reporting  # drawing needs matplotlib

    table = as_table(runs, columns=columns, where=where, metric=metric)
    return reporting.report(table, out, fit_options(options, named, "report"), laws, rolling)


def two_step(loss: LawFit | str | Path, score: LawFit | str | Path) -> TwoStep:
    """A task's score from compute: a law of the loss, then a law of the score in that loss.

    Args:
        loss, score: fits, paths of a `fit.json` or of a folder with one, or published constants by name.

    >>> import isoflop
    >>> law = isoflop.analysis.two_step("chinchilla:besiroglu", "gadre_error:redpajama")
    >>> round(law.predict(1e24).value, 2)
    0.31

    Raises:
        UserError: the first is no law of the loss in N and D, or the second none of a score in the loss.
    """
    from isoflop.analysis.downstream.two_step import TwoStep

    return TwoStep(as_fit(loss), as_fit(score))
