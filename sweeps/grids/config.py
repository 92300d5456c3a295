"""What a sweep is: one frozen value, from which everything else follows."""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from itertools import product
from typing import Annotated, Any, Literal, Protocol

import tyro
from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from tyro.constructors import PrimitiveConstructorSpec

from isoflop.base import plugins
from isoflop.base.errors import UserError
from isoflop.base.fields import Count, Fraction, InvalidFieldError, Positive, check_fields
from isoflop.models import ModelConfig, family, ledger
from isoflop.models.config import Dtype, ModelOptions
from isoflop.train.spec import OptimizerOptions, Parametrization, ScheduleOptions, branch_scale


class Vocabulary(Protocol):
    """What a model's shape takes of a corpus."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def eos(self) -> int | None: ...


Width = Annotated[int, Field(ge=4)]
Flops = Positive
Exponent = Annotated[float, Field(ge=0, le=1)]
Windows = Annotated[int, Field(ge=2)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Unprefixed = tyro.conf.arg(name="")
"""Marks a group of options that the command line gives without the group's name: `--beta2`."""


@dataclass(frozen=True)
class Rates:
    """How the learning rate is found: a rate for each width, `coefficient` * width ** -`exponent`.

    With `tried`, the coefficient and exponent are fitted to the best rates at the `anchors`, each trained at
    every rate `coefficient * width ** -exponent * factor` for the factors in `tried`, on evaluation windows
    of their own. Without, the rule is taken as it stands.
    """

    coefficient: Positive
    """The rule's peak learning rate at width 1, before tuning."""
    exponent: float = 0.5
    """How fast the rule's rate falls with the width; 0 is one rate for all widths."""
    tried: tuple[Positive, ...] = ()
    """Factors of the rule's rate that are tried at each anchor; none is no tuning."""
    anchors: tuple[tuple[Width, Flops], ...] = ()
    """Where rates are tried: pairs of a width and a budget in FLOPs, two far apart to fit the exponent."""

    def __post_init__(self) -> None:
        check_fields(self, "rates.")
        if bool(self.tried) != bool(self.anchors):
            raise UserError("rates.tried and rates.anchors go together: give both, or neither")

    def at(self, width: int) -> float:
        """The rule's peak learning rate for a width."""
        return self.coefficient * width**-self.exponent

    def require_at(self, width: int) -> None:
        """Raises `UserError` for a width at which the rule has no usable rate."""
        try:
            rate = self.at(width)
        except OverflowError:
            rate = math.inf
        if not 0 < rate < math.inf:
            raise InvalidFieldError(
                "rates.exponent", f"{self.exponent:g}: makes the learning rate {rate:g} at width {width}"
            )

    def __str__(self) -> str:
        return f"{self.coefficient:g} * width^{0 - self.exponent:g}"  # of zero, not minus zero


@dataclass(frozen=True)
class Axis:
    """An option that a sweep varies besides budgets and sizes, by its own name."""

    option: str
    values: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.option}={','.join(map(str, self.values))}"

    @classmethod
    def parse(cls, text: str) -> Axis:
        """The axis that `experts=1,4,8` stands for."""
        option, _, values = text.partition("=")
        return cls(option.replace("-", "_"), tuple(_parsed(value) for value in values.split(",") if value))


def _parsed(text: str) -> Any:
    for parse in (json.loads, float):
        try:
            return parse(text)
        except ValueError:
            pass
    return text


AxisOption = Annotated[
    Axis,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="OPTION=VALUE,...",
        instance_from_str=lambda words: Axis.parse(words[0]),
        is_instance=lambda value: isinstance(value, Axis),
        str_from_instance=lambda axis: [str(axis)],
    ),
]


@dataclass(frozen=True)
class SweepConfig:
    """A grid of model sizes and compute budgets on one corpus, and how each cell is trained.

    Each budget (FLOPs, by the exact ledger) is spent on `sizes` neighbours of the `ladder` of widths,
    centred on the width whose parameter count is nearest to N(centre_width) * (budget / centre_budget) **
    centre_exponent, so that the sizes slide along with the budget's minimum. Raises `UserError` for a value
    out of its range.
    """

    name: str
    """The sweep's name: its folder under outputs/, its group in Weights & Biases."""
    title: str
    """One line that says what the sweep is; heads its plan and report."""
    budgets: tuple[Flops, ...]
    """Training FLOPs of each IsoFLOP curve, ascending."""
    ladder: tuple[Width, ...]
    """The widths that a budget may be spent on, ascending multiples of 4; the family rule gives each its
    depth and heads."""
    centre_width: Width
    """The width of the ladder that is expected to be the best at `centre_budget`: a guess, or an earlier
    sweep's minimum."""
    centre_budget: Flops
    """The budget in FLOPs at which `centre_width` is expected to be the best."""
    rates: Rates
    """How the peak learning rate follows the width, and how it is tuned."""
    sizes: Count = 5
    """Widths that each budget is spent on: neighbours on the ladder, around the expected minimum."""
    centre_exponent: Exponent = 0.5
    """How fast the expected best parameter count grows with the budget: as budget ** centre_exponent."""
    data: str = "wiki-intro"
    """The corpus: a source that `isoflop data list` shows, with its argument after a colon."""
    tokenizer: str = "bytes"
    """bytes, or bpe-SIZE, trained on the corpus' own training text."""
    batch_size: Count = 1
    """Windows in one step."""
    model: Annotated[ModelOptions, Unprefixed] = ModelOptions()
    across_documents: bool = True
    """Whether attention crosses the boundaries of documents packed into one window."""
    parametrization: Parametrization = "completep"
    """How rates, decay and branches follow width and depth: see train/parametrization.py."""
    dtype: Dtype = "float32"
    """Of the products; parameters, moments, norms, softmax and losses are float32 always."""
    optimizer: Annotated[OptimizerOptions, Unprefixed] = OptimizerOptions()
    schedule: Annotated[ScheduleOptions, Unprefixed] = ScheduleOptions()
    warmup_share: Fraction = 0.05
    """Warm-up, as a share of the steps of a width's smallest cell; 0 is one step."""
    replicates: Annotated[int, Field(ge=0, le=1000)] = 1
    """Further seeds of the best size of each budget."""
    retries: Annotated[int, Field(ge=0, le=20)] = 2
    """Further attempts at a cell that diverged, each under another seed and at half the rate before."""
    checks: bool = True
    """Whether to test the schedule and the rate rule at the largest budget's minimum, by three runs more."""
    max_epochs: Positive = 1.0
    """Passes over the corpus that a cell may make; more than one repeats tokens."""
    eval_windows: Windows = 1024
    """Held-out windows that give each cell's loss; the same for all cells."""
    eval_data: tuple[str, ...] = ()
    """Further corpora, by the names that data takes, that finished cells are evaluated on too: a column
    loss_NAME each. They are tokenized as the sweep's own is."""
    tune_windows: Windows = 512
    """Windows of the tuning split that compare learning rates."""
    seed: Seed = 0
    """Seed of initialization and data order; replicates take the seeds after it."""
    keep: Literal["none", "trunks", "all"] = "trunks"
    """Checkpoints kept: none; the trunks', from which further budgets can branch; and the finished models."""
    checkpoint_steps: Count = 20_000
    """The longest stretch trained between two checkpoints."""
    axes: tuple[AxisOption, ...] = ()
    """Options that the sweep varies: the grid is trained at each value, or combination of several axes'
    values. As in `--axes experts=1,4,8 dtype=float32,bfloat16`."""
    trackers: tuple[str, ...] = ("jsonl", "wandb")
    """Where cells are mirrored to: files in sweeps/trackers/ by name, or .py files of one's own."""

    def __post_init__(self) -> None:
        check_fields(self)
        _require(len(self.budgets) > 0, f"sweep {self.name}: budgets is empty: name at least one, in FLOPs")
        _require(list(self.budgets) == sorted(set(self.budgets)), "budgets must rise and not repeat")
        _require(list(self.ladder) == sorted(set(self.ladder)), "ladder must rise and not repeat")
        _require(self.sizes <= len(self.ladder), f"sizes {self.sizes}: the ladder has {len(self.ladder)}")
        _require(self.centre_width in self.ladder, f"centre_width {self.centre_width} is not on the ladder")
        _require(
            not self.model.tie_embeddings or self.parametrization == "standard",
            f"tie_embeddings with parametrization {self.parametrization}: a tied matrix wants two rates: "
            "untie it, or take standard",
        )
        _require(
            self.seed + self.replicates < 2**31,
            f"seed {self.seed}: must be below 2^31 with its {self.replicates} replicates",
        )
        for width in self.ladder:
            self.rates.require_at(width)
        for axis in self.axes:
            _require(
                axis.option in OPTIONS and axis.option not in NO_AXES,
                f"axes {axis.option}: is no option that can vary within a sweep",
            )
            _require(bool(axis.values), f"axes {axis.option}: give its values, as in {axis.option}=1,2")
        self._check_axes()

    def _check_axes(self) -> None:
        """Hold every axis' values to their option, as `variants` makes them."""
        checked = tuple(
            Axis(axis.option, tuple(dict.fromkeys(v.option(axis.option) for v in self.variants)))
            for axis in self.axes
        )
        names = [axis.option for axis in self.axes]
        for axis, given in zip(checked, self.axes, strict=True):
            repeated = len(axis.values) < len(given.values) or names.count(axis.option) > 1
            _require(not repeated, f"axes {given}: must not repeat")
        object.__setattr__(self, "axes", checked)

    @cached_property
    def variants(self) -> tuple[SweepConfig, ...]:
        """The sweep at each combination of its axes' values, each of which has axes of one value."""
        if all(axis.values == (self.option(axis.option),) for axis in self.axes):
            return (self,)
        combinations = product(*(axis.values for axis in self.axes))
        settings = [
            {axis.option: value for axis, value in zip(self.axes, values, strict=True)}
            for values in combinations
        ]
        return tuple(
            self.with_options(**own, axes=tuple(Axis(name, (value,)) for name, value in own.items()))
            for own in settings
        )

    @property
    def settings(self) -> tuple[tuple[str, Any], ...]:
        """The axes' values of one of the `variants`, each with its option's name."""
        return tuple((axis.option, axis.values[0]) for axis in self.axes)

    @model_serializer(mode="wrap")
    def _to_flat(self, to_json: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """In JSON every option stands under its own name, as on the command line."""
        values = to_json(self)
        return {option: _at(values, path) for option, path in OPTIONS.items()}

    @model_validator(mode="wrap")
    @classmethod
    def _from_flat(cls, values: Any, from_json: ModelWrapValidatorHandler[SweepConfig]) -> SweepConfig:
        return from_json(_grouped(values) if isinstance(values, dict) else values)

    def option(self, name: str) -> Any:
        """The value of an option: `config.option("beta2")` is `config.optimizer.beta2`."""
        return _at(self, OPTIONS[name])

    def with_options(self, **options: Any) -> SweepConfig:
        """The config with some options replaced, each by its own name: `with_options(beta2=0.95, seed=1)`."""
        groups = {
            name: replace(getattr(self, name), **value) if name in GROUPS else value
            for name, value in _grouped(options).items()
        }
        return replace(self, **groups)

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(vars(self)[f.name] for f in fields(self)))

    def __hash__(self) -> int:
        """Made once: a plan of many cells looks things up by its config again and again."""
        return self._hash

    def model_at(self, width: int, corpus: Vocabulary) -> ModelConfig:
        """The family's member of this width, for a corpus."""
        return _model(self, width, corpus.vocab_size, corpus.eos)

    def widths_at(self, budget: float, corpus: Vocabulary) -> tuple[int, ...]:
        """The `sizes` widths of a budget, ascending."""
        sizes = _log_counts(self, corpus.vocab_size, corpus.eos)
        centre = sizes[self.ladder.index(self.centre_width)]
        wanted = centre + self.centre_exponent * math.log(budget / self.centre_budget)
        after = bisect.bisect(sizes, wanted)
        nearest = min(
            range(max(after - 1, 0), min(after + 1, len(sizes))), key=lambda i: abs(sizes[i] - wanted)
        )
        first = min(max(nearest - self.sizes // 2, 0), len(sizes) - self.sizes)
        return self.ladder[first : first + self.sizes]

    def least_budgets(self, corpus: Vocabulary) -> dict[int, float]:
        """The smallest budget of each width that has one."""
        return _least_budgets(self, corpus.vocab_size, corpus.eos)


GROUPS = {"model": ModelOptions, "optimizer": OptimizerOptions, "schedule": ScheduleOptions}
OPTIONS: dict[str, tuple[str, ...]] = {
    own: path
    for outer in fields(SweepConfig)
    for own, path in (
        [
            (outer.name if f.name == "name" else f.name, (outer.name, f.name))
            for f in fields(GROUPS[outer.name])
        ]
        if outer.name in GROUPS
        else [(outer.name, (outer.name,))]
    )
}
"""Where each option stands in a `SweepConfig`. An option has one name, on the command line, in `sweep.json`
and in a folder's name: its field's own (`beta2`), or for a group's `name` the group's (`optimizer`)."""

NO_AXES = frozenset(
    (
        *("name", "title", "budgets", "ladder", "centre_width", "centre_budget", "centre_exponent", "rates"),
        *("sizes", "replicates", "retries", "checks", "max_epochs", "eval_windows", "eval_data"),
        *("tune_windows", "seed"),
        *("keep", "checkpoint_steps", "axes", "trackers", "data", "tokenizer"),
    )
)
"""Options of the sweep as a whole: its grid, its stages, and the one corpus that all its cells share."""


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value[name] if isinstance(value, Mapping) else getattr(value, name)
    return value


def _grouped(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by their own names as arguments of a `SweepConfig`, those of a group in a dict."""
    values: dict[str, Any] = {}
    for option, value in options.items():
        group, *inner = OPTIONS.get(option, (option,))
        if inner:
            values.setdefault(group, {})[inner[0]] = value
        else:
            values[option] = value
    return values


# A plan of a hundred thousand cells asks for few models, again and again.


@lru_cache(maxsize=1 << 14)
def _model(config: SweepConfig, width: int, vocab_size: int, eos: int | None) -> ModelConfig:
    shape = family(
        width,
        vocab_size=vocab_size,
        **vars(config.model),
        document_separator=None if config.across_documents else eos,
    )
    return replace(shape, branch_scale=branch_scale(config.parametrization, shape.depth))


@lru_cache(maxsize=64)
def _log_counts(config: SweepConfig, vocab_size: int, eos: int | None) -> list[float]:
    """Logarithms of the parameters of each width of the ladder, ascending."""
    return [math.log(ledger(_model(config, width, vocab_size, eos)).params()) for width in config.ladder]


@lru_cache(maxsize=64)
def _least_budgets(config: SweepConfig, vocab_size: int, eos: int | None) -> dict[int, float]:
    corpus = _Vocabulary(vocab_size, eos)
    return {w: b for b in reversed(config.budgets) for w in config.widths_at(b, corpus)}


@dataclass(frozen=True)
class _Vocabulary:
    vocab_size: int
    eos: int | None


def load_config(name: str) -> SweepConfig:
    """The sweep of `sweeps/configs/NAME.py`, or of the `.py` file that `name` is the path of."""
    config = plugins.load("isoflop.sweeps.configs", "SWEEP", name, "sweep config").SWEEP
    if not isinstance(config, SweepConfig):
        raise UserError(f"sweep config {name}: SWEEP is a {type(config).__name__}, not a SweepConfig")
    return config


def config_names() -> list[str]:
    """Names of the sweeps that `sweeps/configs/` holds."""
    return [name.replace("_", "-") for name in plugins.names("isoflop.sweeps.configs", "SWEEP")]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)
