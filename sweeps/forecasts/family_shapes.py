"""The models of a sweep's own family, as shapes whose costs can be forecast."""

from __future__ import annotations

from pathlib import Path

from isoflop.analysis.costs.architectures.model_shape import ForecastModel, ModelShape
from isoflop.analysis.costs.recommended import ShapeAt
from isoflop.base.errors import UserError
from isoflop.models import ledger
from isoflop.sweeps.forecasts.trained_sweep import TrainedSweep


def family_shapes(folder: Path) -> ShapeAt:
    """The members of the family of the sweep in `folder`, by the number of parameters they are nearest to.

    Raises `UserError` for a folder without a finished sweep.
    """
    sweep = TrainedSweep.read(folder)
    if sweep.config.model.architecture != "decoder":
        raise UserError(
            f"{folder} has models of architecture {sweep.config.model.architecture}: costs are known for "
            "decoder alone"
        )

    def shape_at(n_params: float, count: str) -> ForecastModel:
        width = sweep.nearest_width(n_params, count)
        model = sweep.config.model_at(width, sweep.corpus)
        shape = ModelShape(
            layers=model.depth,
            width=model.width,
            heads=model.heads,
            kv_heads=model.kv_heads,
            head_dim=model.head_dim,
            ff_width=model.ff_width,
            vocab=model.vocab_size,
            gated=model.gated,
            tied=model.tie_embeddings,
            experts=model.routed,
            experts_per_token=model.visited,
        )
        n_total = float(ledger(model).params("total"))
        origin = f"width {width}, the nearest of the family of {folder}"
        return ForecastModel(sweep.config.name, shape, n_total, origin)

    return shape_at
