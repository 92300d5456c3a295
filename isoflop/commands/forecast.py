"""isoflop forecast"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from isoflop.analysis.costs.options import (
    DeviceOptions,
    ForecastOptions,
    ModelOptions,
    ServingOptions,
    TargetOptions,
    TrainingOptions,
)
from isoflop.arguments import Flag, JsonFlag, parse
from isoflop.base.errors import UserError
from isoflop.commands.jax_setup import set_up_jax
from isoflop.printing import print_result, warn

if TYPE_CHECKING:
    from isoflop.analysis.costs.recommended import ShapeAt


GROUP = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
"""Options under a heading of their own."""


@dataclass(frozen=True)
class Forecast:
    """What a model costs to train and to serve on a device: hours, money, energy, memory, latency, rate.

    The model: one that a fitted or published law recommends at a budget (--flops), a public one by name, or
    --n-params.
    """

    what: tyro.conf.Positional[str] = ""
    """A fit.json or its folder, or published constants (chinchilla:besiroglu), with --flops; a public model
    (llama-3-8b), a Hugging Face config.json, or a .toml of your own. Without one: --n-params."""
    only: Literal["training", "serving"] | None = None
    """Leave the other part out."""
    markdown: Flag = False
    """Print tables that paste into a paper or an issue."""
    as_json: JsonFlag = False
    model: Annotated[ModelOptions, *GROUP] = ModelOptions()
    device: Annotated[DeviceOptions, *GROUP] = DeviceOptions()
    training: Annotated[TrainingOptions, *GROUP] = TrainingOptions()
    serving: Annotated[ServingOptions, *GROUP] = ServingOptions()
    target: Annotated[TargetOptions, *GROUP] = TargetOptions()

    @property
    def options(self) -> ForecastOptions:
        """All of them."""
        groups = (self.model, self.device, self.training, self.serving, self.target)
        return ForecastOptions.together(groups, self.only)


def run(argv: list[str]) -> int:
    """Prints the forecast."""
    arguments = parse(Forecast, argv, "forecast")
    if Path(arguments.what).exists():  # a fit: its law may be compiled
        set_up_jax()
    from isoflop.analysis.costs.forecast import forecast
    from isoflop.analysis.costs.tables import tables

    found = forecast(arguments.what or None, arguments.options, shape_at=_sweeps_own(arguments.what))
    shown = tables(found)
    lines = (t.markdown() + "\n" if arguments.markdown else t.text(len(t.rows)) + "\n" for t in shown)
    print_result(found, arguments.as_json, lines, soft_wrap=True)
    return 0


def _sweeps_own(what: str) -> ShapeAt | None:
    """The sizes that the sweep would train whose folder the fit lies in; None where it lies in none, and,
    with a warning, in that of a sweep that can't say."""
    path = Path(what)
    folder = path if path.is_dir() else path.parent
    if not what or not (folder / "sweep.json").exists():
        return None
    from isoflop.sweeps.forecasts.family_shapes import family_shapes

    try:
        return family_shapes(folder)
    except UserError as error:
        warn(f"the model's shape is by a rule, not the sweep's own: {error}")
        return None
