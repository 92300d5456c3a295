"""`report`: a table or a sweep's folder in, figures, `fit.json` and one page out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from isoflop.analysis.figures.figure_data import render
from isoflop.analysis.options import FitOptions
from isoflop.analysis.reporting.headline import headline
from isoflop.analysis.reporting.page import page
from isoflop.analysis.reporting.report_data import RIVALS, ReportData, analyze
from isoflop.analysis.result import LawFit
from isoflop.analysis.run_table import RunTable
from isoflop.analysis.sources.measured import SCHEME
from isoflop.base.display import Displayed, Summary, counted
from isoflop.base.errors import UserError

DPI = 200


@dataclass(frozen=True, repr=False)
class Report(Displayed):
    """Where everything went, and the answer. `held`: the same fit with the largest budget held out, if any;
    `data`: all that the page is made of.
    """

    html: Path
    fit_json: Path
    figures: tuple[Path, ...]
    headline: str
    fit: LawFit
    held: LawFit | None
    data: ReportData

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
    table: RunTable,
    out: str | Path | None = None,
    options: FitOptions | None = None,
    laws: Sequence[str] | None = None,
    rolls: bool = False,
) -> Report:
    """Fit a table every way the page shows, draw the figures and write the page, as `isoflop.report` does."""
    folder = Path(out) if out is not None else _default_folder(table)
    make_folder(folder)  # before the fits, which take longer than finding out that it can't be written
    return write(analyze(table, options, RIVALS if laws is None else laws, rolls=rolls), folder)


def write(data: ReportData, folder: Path) -> Report:
    """Draw and write what is analyzed already. Raises `UserError` where the folder can't be written."""
    make_folder(folder)
    drawn = {name: render(figure) for name, figure in data.figures.items()}
    text = page(data, drawn)  # makes the fits: what they raise is no trouble with the folder
    try:
        paths = [save_figure(figure, folder / "figures" / name) for name, (figure, _) in drawn.items()]
        fit_json = folder / "fit.json"
        fit_json.write_text(json.dumps(data.fit.to_json(), indent=1) + "\n", encoding="utf-8")
        html = folder / "report.html"
        html.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritable(folder, error) from error
    return Report(
        html,
        fit_json,
        tuple(path for pair in paths for path in pair),
        headline(data),
        data.fit,
        data.held,
        data,
    )


def make_folder(folder: Path) -> None:
    """Make a page's folder with one for its figures. Raises `UserError` where that can't be."""
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(folder: Path, error: OSError) -> UserError:
    """What is said of a folder that a page can't be written to."""
    return UserError(f"cannot write the report to {folder}: {error.strerror or error}")


def _default_folder(table: RunTable) -> Path:
    name = Path(table.source.split(", ")[0]).stem
    if table.folder is not None and not name.startswith(SCHEME):  # those come with the package
        return table.folder
    return Path("outputs") / name.removeprefix(SCHEME).replace(":", "-")  # public:NAME is no folder's name


def save_figure(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write a figure as PNG and PDF. A date in a file would make two identical reports differ."""
    png, pdf = stem.with_suffix(".png"), stem.with_suffix(".pdf")
    figure.savefig(png, dpi=DPI)
    figure.savefig(pdf, metadata={"CreationDate": None})
    return png, pdf
