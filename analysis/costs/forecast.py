"""A forecast: from a model, or from the law that recommends one, to the price of training and serving it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from isoflop.analysis.costs.architectures.model_shape import ForecastModel
from isoflop.analysis.costs.architectures.public_models import find_model, is_config, known_models
from isoflop.analysis.costs.architectures.shape_rule import RULE, ruled_shape
from isoflop.analysis.costs.hardware.device import Device, find_device
from isoflop.analysis.costs.options import ForecastOptions, check_tokens
from isoflop.analysis.costs.recommended import Recommended, ShapeAt, law_run, recommendation
from isoflop.analysis.costs.serving import Serving, forecast_serving
from isoflop.analysis.costs.sizing import Sizing, size_fleet
from isoflop.analysis.costs.training import TrainingForecast, forecast_training
from isoflop.analysis.inputs import as_fit, options_of, stale
from isoflop.analysis.laws import find_law, known_laws
from isoflop.analysis.options import CountName
from isoflop.analysis.result import LawFit
from isoflop.base.display import Displayed, Summary
from isoflop.base.errors import UserError, perhaps
from isoflop.base.formatting import short
from isoflop.base.json_values import Serializable

T = TypeVar("T")

MOST_UTILIZATION = 0.75
"""Share of peak, all FLOPs counted, beyond which no large run is known."""
SHORT_STEP = 1e-4
"""Seconds of a decode step at which the kernels' launches, some ten a layer, are no small part of it."""


@dataclass(frozen=True, repr=False)
class CostForecast(Displayed, Serializable):
    """What a model costs to train and to serve on a device. Seconds, bytes, kWh, FLOPs, tokens; money in the
    currency of the price."""

    model: ForecastModel
    device: Device
    training: TrainingForecast | None
    serving: Serving | None
    sizing: Sizing | None
    recommended: Recommended | None
    warnings: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the published constants that recommend the model."""
        return self.recommended.run.notes if self.recommended else ()

    def summary(self) -> Summary:
        """The first numbers of each part."""
        from isoflop.analysis.costs.tables import headline

        return headline(self)  # pyright: ignore[reportArgumentType]  # one class by two paths


def forecast(
    model: LawFit | str | Path | None = None,
    options: ForecastOptions | None = None,
    *,
    shape_at: ShapeAt | None = None,
    **named: Any,
) -> CostForecast:
    """What a model costs to train and to serve on a device: hours, money, energy, memory, latency, rate.

    Args:
        model: a `LawFit`, a `fit.json` or its folder, or published constants by name, with `flops`, `loss`,
            `n_params` or `tokens`: the model that the law recommends; or a public model by name, a
            config.json of Hugging Face's, a .toml of your own; None: `n_params`.
        options: a `ForecastOptions`.
        shape_at: `shape_at(n_params, count)`, the model that a law's size stands for; by a rule unless given.
        named: fields of `ForecastOptions`, in place of those of `options`.

    >>> import isoflop
    >>> found = isoflop.forecast("llama-3-8b", device="h100", prompt=8192)
    >>> round(found.serving.kv_bytes_per_token)
    131072

    Raises:
        UserError: the model is not known, does not fit, or cannot meet a target, in one line with the
            arithmetic.
    """
    options = options_of(ForecastOptions, options, named, 'forecast("llama-3-8b", device=...)')
    device = find_device(options.device)
    if is_law(model):
        assert model is not None
        return _of_law(model, device, options, shape_at)
    found = _model(model, options)
    return _forecast(found, device, options, _tokens(found, options), None)


def is_law(what: LawFit | str | Path | None) -> bool:
    """Whether this stands for a law, and not for a model. Raises `UserError` for what is neither."""
    if what is None or isinstance(what, LawFit):
        return what is not None
    path = Path(what)
    if path.is_dir():
        return (path / "fit.json").exists() or not (path / "config.json").exists()
    if path.suffix in (".toml", ".json"):
        return path.suffix == ".json" and not is_config(path)
    if ":" in str(what) or str(what).endswith(".py"):
        return True
    name = str(what).lower().replace("_", "-")
    laws = {law.replace("_", "-") for law in known_laws()}
    if name not in known_models() and name not in laws:
        raise UserError(
            f"unknown {str(what)!r}{perhaps(name, (*known_models(), *laws))}: give a fit.json or its folder, "
            f"published constants such as chinchilla:besiroglu, a model ({', '.join(known_models())}), a "
            "config.json or .toml of your own, or --n-params"
        )
    return name not in known_models()


def _model(what: LawFit | str | Path | None, options: ForecastOptions) -> ForecastModel:
    """A named model, or one of so many parameters. Raises `UserError` for both, and for neither."""
    if what is None:
        return _ruled(options)
    given = [name for name in ("n_params", *vars(options.shape)) if getattr(options, name) is not None]
    if given:
        raise UserError(
            f"--{given[0].replace('_', '-')}: {what} has its own shape; give options of size without a name"
        )
    path = Path(str(what))
    return find_model(str(path / "config.json" if path.is_dir() else what))


def _ruled(options: ForecastOptions) -> ForecastModel:
    """A model by its number of parameters, its sizes, or both."""
    shape = options.shape
    if options.n_params is None:
        if not shape.complete:
            raise UserError(
                "which model? Give a fit.json or published constants such as chinchilla:besiroglu with "
                f"--flops, a model ({', '.join(known_models())}), --n-params, or --layers and --width"
            )
        return ForecastModel.of_shape("the model", ruled_shape(None, shape), "as given, the rest " + RULE)
    return given_model(options.n_params, options)


def given_model(n_params: float, options: ForecastOptions, count: CountName = "total") -> ForecastModel:
    """A model of that many parameters, by a law's count, with a shape by the rule."""
    shape = ruled_shape(n_params, options.shape, count)
    lookup = 0 if count == "total" else shape.lookup_params
    n_total = n_params + lookup + (shape.head_params if count == "body" else 0)
    origin = RULE if not any(vars(options.shape).values()) else "as given, the rest " + RULE
    return ForecastModel(f"{short(n_total)} parameters", shape, n_total, origin, n_lookup=lookup)


def _tokens(model: ForecastModel, options: ForecastOptions) -> float | None:
    if options.flops is not None and options.tokens is not None:
        raise UserError("--flops and --tokens: give one, the other follows from C = 6ND")
    if options.loss is not None:
        raise UserError("--loss: only a law says what reaches it; name one, such as chinchilla:besiroglu")
    if options.flops is not None:
        return options.flops / (6 * model.n_active)
    tokens = options.tokens or model.tokens
    if tokens is not None:
        check_tokens(tokens, model.n_params)
    return tokens


def _of_law(
    what: LawFit | str | Path, device: Device, options: ForecastOptions, shape_at: ShapeAt | None
) -> CostForecast:
    fit = as_fit(what)
    if fit.law is not None and find_law(fit.law).flops_per_token is not None:
        raise UserError(
            f"{fit.law}: a forecast is of a dense model, and its N counts otherwise; forecast a dense "
            "model of that cost by --n-params and --tokens"
        )
    run = law_run(fit if options.group is None else fit.group(options.group), _name(what, fit), options)
    made = shape_at or (lambda n, count: given_model(n, options, count))
    found = _forecast(made(run.n, run.count), device, options, run.d, run.flops)
    told = () if fit.is_published or isinstance(what, LawFit) else stale(what)
    return replace(
        found,
        recommended=recommendation(run, made, found.training, found.serving, device, options),
        warnings=tuple(dict.fromkeys((*told, *run.warnings, *found.warnings))),
    )


def _name(what: LawFit | str | Path, fit: LawFit) -> str:
    """What a law is called: by its constants' name, or by its form and where the fit lies."""
    form = fit.law or f"approach {fit.approach}"
    if isinstance(what, LawFit):
        return form
    return f"{form} in {what}" if Path(what).exists() else str(what)


def _forecast(
    model: ForecastModel,
    device: Device,
    options: ForecastOptions,
    tokens: float | None,
    flops: float | None,
) -> CostForecast:
    trains = tokens is not None and options.only != "serving"
    serves = options.only != "training"
    if options.only == "training" and tokens is None:
        raise UserError("--only training: give --tokens, or --flops")
    training = serving = sizing = None
    if trains:
        assert tokens is not None
        training = _or_alone(
            lambda: forecast_training(model, device, options, tokens, flops), "serving", serves
        )
    if serves:
        serving = _or_alone(lambda: forecast_serving(model, device, options), "training", trains)
        sizing = size_fleet(model, device, options)
    return CostForecast(
        model=replace(model, tokens=tokens),
        device=device,
        training=training,
        serving=serving,
        sizing=sizing,
        recommended=None,
        warnings=tuple(_warnings(model, device, options, training, serving, sizing)),
    )


def _or_alone(part: Callable[[], T], other: str, both: bool) -> T:
    """A part of the forecast; where it is refused, the refusal says how to have the other alone."""
    try:
        return part()
    except UserError as error:
        raise UserError(f"{error}; or --only {other}" if both else str(error)) from None


def _warnings(
    model: ForecastModel,
    device: Device,
    options: ForecastOptions,
    training: TrainingForecast | None,
    serving: Serving | None,
    sizing: Sizing | None,
) -> list[str]:
    warnings = []
    if device.watts is None and options.watts is None:
        warnings.append(f"no energy: the maker of {device.title} does not say what it draws; give --watts")
    doubtful = [figure for source in device.sources if source.seen == "memory" for figure in source.figures]
    if serving and serving.compute in doubtful:
        warnings.append(f"{device.title}: its peak for {serving.compute} is not confirmed by a source")
    shape = model.shape
    if (
        serving
        and serving.devices > 1
        and shape.kv_heads % serving.devices
        and serving.devices % shape.kv_heads
    ):
        warnings.append(
            f"{shape.kv_heads} key-value heads do not split evenly over {serving.devices} devices"
        )
    if serving and serving.devices > shape.kv_heads:
        warnings.append(
            f"{serving.devices} devices share {shape.kv_heads} key-value heads: servers that shard by heads "
            "keep copies, which the KV cache here has not"
        )
    if training and training.hardware_utilization > MOST_UTILIZATION:
        extra = (training.flops.executed / training.flops.counted - 1) * 100
        warnings.append(
            f"attention and recomputation add {extra:.0f}% to the FLOPs that the hours are reckoned by: "
            f"{training.hardware_utilization:.0%} of peak at this utilization; give a lower --utilization"
        )
    if serving and min(point.step.roofline for point in serving.points) < SHORT_STEP:
        warnings.append(
            "steps this short are bound by launching kernels, a few microseconds each, which is not forecast"
        )
    for basis, why in (sizing.refusals if sizing else {}).items():
        warnings.append(f"no number of devices meets the targets at the {basis} times: {why}")
    return warnings
