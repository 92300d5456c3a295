"""Models, replicas and forecasts, as tests of costs ask for them."""

from __future__ import annotations

from typing import Any

from isoflop.analysis import ForecastOptions, find_device, forecast
from isoflop.analysis.costs.architectures.model_shape import ForecastModel
from isoflop.analysis.costs.forecast import given_model
from isoflop.analysis.costs.serving import Replica


def costs(what: Any = None, **options: Any) -> Any:
    """A forecast; its parts are None or not by what was asked for."""
    return forecast(what, **options)


def replica(model: ForecastModel, device: Any, devices: int = 1, **options: Any) -> Replica:
    """A replica of a model on a device, which may be named."""
    found = find_device(device) if isinstance(device, str) else device
    return Replica.of(model, found, devices, ForecastOptions(**options))


def given_n(n_params: float, **sizes: Any) -> ForecastModel:
    """A model of so many parameters, as --n-params gives it."""
    return given_model(n_params, ForecastOptions(n_params=n_params, **sizes))
