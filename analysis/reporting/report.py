"""`report`: a table or a sweep's folder in, figures, `fit.json` and one page out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

from isoflop.analysis.figures import FIGURES
from isoflop.analysis.figures.style import RC
from isoflop.analysis.options import FitOptions
from isoflop.analysis.reporting.headline import headline
from isoflop.analysis.reporting.page import page
from isoflop.analysis.reporting.report_data import RIVALS, ReportData, analyze
from isoflop.analysis.result import LawFit
from isoflop.analysis.run_table import RunTable, load_runs
from isoflop.base.display import Displayed, Summary, counted
from isoflop.base.errors import UserError

DPI = 200


@dataclass(frozen=True, repr=False)
class Report(Displayed):
    """Where everything went, and the answer. `held`: the same fit with the largest budget held out, if
    any.
    """

    html: Path
    fit_json: Path
    figures: tuple[Path, ...]
    headline: str
    fit: LawFit
    held: LawFit | None
    story: ReportData

    def summary(self) -> Summary:
        """The headline, and where the page is."""
        files = (
            ("page", str(self.html)),
            ("fit", str(self.fit_json)),
            ("figures", f"{len(self.figures)} files"),
        )
        notes = counted(self.fit.warnings, "warning", ".fit.warnings")
        return Summary(f"Report: {self.headline}", rows=files, notes=notes)


def report(
    source: str | Path | Sequence[str | Path] | RunTable,
    out: str | Path | None = None,
    options: FitOptions | None = None,
    laws: Sequence[str] | None = None,
) -> Report:
    """Fit a table every way the page shows, draw the figures and write the page.

    Args:
        source: what `load_runs` takes, or a table already loaded.
        out: the folder to write `report.html`, `fit.json` and `figures/` to; by default the sweep's own
        folder,
            or `outputs/NAME` for the table NAME.csv.
        options: of the fit (approach 3); the other fits of the page follow them.
        laws: what competes with the fit's own law on the largest budget, held out; by default the usual few.

    Raises:
        UserError: the table cannot be read or fitted, or the folder not written, in one line.
    """
    table = source if isinstance(source, RunTable) else load_runs(source)
    folder = Path(out) if out is not None else _default_folder(table)
    _make(folder)  # before the fits, which take longer than finding out that it can't be written
    return write(analyze(table, options, RIVALS if laws is None else laws), folder)


def write(story: ReportData, folder: Path) -> Report:
    """Draw a story that is already told. Raises `UserError` where the folder can't be written."""
    _make(folder)
    try:
        figures = _static(story, folder / "figures")
        fit_json = folder / "fit.json"
        fit_json.write_text(json.dumps(story.fit.to_json(), indent=1) + "\n", encoding="utf-8")
        html = folder / "report.html"
        html.write_text(page(story, _interactive(story)), encoding="utf-8")
    except OSError as error:
        raise _unwritable(folder, error) from error
    return Report(html, fit_json, figures, headline(story), story.fit, story.held, story)


def _make(folder: Path) -> None:
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(f"cannot write the report to {folder}: {error.strerror or error}")


def _default_folder(table: RunTable) -> Path:
    name = Path(table.source.split(", ")[0]).stem
    return table.folder or Path("outputs") / name.replace(":", "-")  # public:NAME is no folder's name


def _static(story: ReportData, folder: Path) -> tuple[Path, ...]:
    written = []
    for name, module in FIGURES.items():
        with matplotlib.rc_context(RC):
            figure = module.static(story)
            if figure is None:
                continue
            for suffix in ("png", "pdf"):
                path = folder / f"{name}.{suffix}"
                # A date in the file would make two identical reports differ.
                figure.savefig(path, dpi=DPI, metadata={"CreationDate": None} if suffix == "pdf" else None)
                figure.set_layout_engine("none")  # laid out by the first, and costly to do again
                written.append(path)
    return tuple(written)


def _interactive(story: ReportData) -> dict:
    drawn = {name: module.interactive(story) for name, module in FIGURES.items()}
    return {name: figure for name, figure in drawn.items() if figure is not None}
