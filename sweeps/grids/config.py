"""What a sweep is: one frozen value, from which everything else follows."""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

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
from isoflop.base.fields import Count, Fraction, Positive, check_fields
from isoflop.models import ModelConfig, family, ledger
from isoflop.models.config import Dtype, ModelOptions
from isoflop.sweeps.grids.rates import Rates, Width
from isoflop.train.spec import (
    Distillation,
    OptimizerOptions,
    Parametrization,
    ScheduleOptions,
    Teacher,
    branch_scale,
)

if TYPE_CHECKING:
    from isoflop.train.data.corpus import Corpus


class Vocabulary(Protocol):
    """What a model's shape takes of a corpus."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def eos(self) -> int | None: ...


Flops = Positive
Exponent = Annotated[float, Field(ge=0, le=1)]
Windows = Annotated[int, Field(ge=2)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Share = Annotated[float, Field(ge=0, le=1)]
NO_TEACHER = "none"
Unprefixed = tyro.conf.arg(name="")
"""Marks a group of options that the command line gives without the group's name: `--beta2`."""


@dataclass(frozen=True)
class Axis:
    """An option that a sweep varies besides budgets and sizes, by its own name."""

    option: str
    values: tuple[Any, ...]

    def __str__(self) -> str:
        values = list(map(str, self.values))
        return f"{self.option}={json.dumps(values) if ',' in ''.join(values) else ','.join(values)}"

    @classmethod
    def parse(cls, text: str) -> Axis:
        """The axis that `experts=1,4,8` stands for. Values that hold commas stand in a list of JSON:
        `data=["synthetic:zipf,vocab=64", "wiki-intro"]`."""
        option, _, values = text.partition("=")
        listed = _parsed(values)
        if not isinstance(listed, list):
            listed = [_parsed(value) for value in values.split(",") if value]
        return cls(option.replace("-", "_"), tuple(listed))


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
    """The widths that a budget may be spent on, ascending multiples of 8; the family rule gives each its
    depth and heads."""
    centre_width: Width
    """The width of the ladder that is expected to be the best at `centre_budget`: a guess, or an earlier
    sweep's minimum."""
    centre_budget: Flops
    """The budget in FLOPs at which `centre_width` is expected to be the best."""
    rates: Rates
    """How the peak learning rate follows the width and the tokens of a run, and how it is tuned."""
    sizes: Count = 5
    """Widths that each budget is spent on: neighbours on the ladder, around the expected minimum."""
    centre_exponent: Exponent = 0.5
    """How fast the expected best parameter count grows with the budget: as budget ** centre_exponent."""
    data: str = "wiki-intro"
    """The corpus: a source that `isoflop data list` shows, with its argument after a colon."""
    tokenizer: str = "bytes"
    """bytes, or bpe-SIZE, trained on the corpus' own training text."""
    batch_size: Count = 1
    """Windows in one step of a run of `rates.base_tokens` tokens."""
    batch_tokens: Annotated[int, Field(ge=0, exclude_if=lambda tokens: tokens == 0)] = 0
    """Tokens in one step of such a run, in the place of `batch_size`, so that windows of any length make
    steps of one size; 0 is `batch_size` windows."""
    batch_exponent: Exponent = 0.0
    """How the windows in a step grow with the tokens of a run: as tokens ** batch_exponent, in two binary
    digits (1, 2, 3, 4, 6, 8, 12, ...); 0 is one batch for all."""
    trunk_span: Annotated[float, Field(gt=1)] = 4.0
    """Runs of one width share a trunk where their tokens lie within a factor of this; the rate, the batch and
    the warm-up of a trunk are those of its middle."""
    model: Annotated[ModelOptions, Unprefixed] = ModelOptions()
    across_documents: bool = True
    """Whether attention crosses the boundaries of documents packed into one window."""
    parametrization: Parametrization = "completep"
    """How rates, decay and branches follow width and depth: see train/parametrization.py."""
    dtype: Dtype = "float32"
    """Of the products; parameters, moments, norms, softmax and losses are float32 always."""
    optimizer: Annotated[OptimizerOptions, Unprefixed] = OptimizerOptions()
    schedule: Annotated[ScheduleOptions, Unprefixed] = ScheduleOptions()
    warmup_share: Fraction = 0.1
    """Warm-up, as a share of the steps at the middle of a trunk's span; 0 is one step."""
    seeds: Annotated[int, Field(ge=1, le=1000)] = 2
    """Seeds under which every cell is trained, each with trunks of its own: `seed` and those after it."""
    retries: Annotated[int, Field(ge=0, le=20)] = 2
    """Further attempts at a cell that diverged, each under another seed and at half the rate before."""
    checks: bool = True
    """Whether to test the schedule and the rate rule at the minima of the smallest and the largest budget, by
    three more runs each."""
    max_epochs: Positive = 1.0
    """Passes over the corpus, or over its `unique_tokens`, that a cell may make; more than one repeats
    tokens."""
    unique_tokens: Annotated[int, Field(ge=0)] = 0
    """Tokens of the corpus that a cell draws from, those of its seed, before it repeats them: a multiple of
    the context length. 0: all."""
    teacher: Annotated[str, Field(exclude_if=lambda name: name == NO_TEACHER)] = NO_TEACHER
    """A model that the cells learn from, FOLDER:CELL_ID: one that the sweep in that folder kept (keep all);
    none is training on the data alone."""
    distillation_share: Annotated[Share, Field(exclude_if=lambda share: share == 1.0)] = 1.0
    """The share of the loss that is cross-entropy against the teacher's distribution; the rest is that of the
    data. 0 is training without a teacher."""
    teachers: Annotated[
        tuple[Teacher, ...], Field(exclude_if=lambda known: not known), tyro.conf.Suppress
    ] = ()
    """What each teacher is that the sweep names; looked up, not given (`isoflop.sweeps.teachers`)."""
    eval_windows: Windows = 1024
    """Held-out windows that give each cell's loss; the same for all cells."""
    eval_data: tuple[str, ...] = ()
    """Further corpora, by the names that data takes, that finished cells are evaluated on too: a column
    loss_NAME each. They are tokenized as the sweep's own is."""
    tune_windows: Windows = 512
    """Windows of the tuning split that compare learning rates."""
    seed: Seed = 0
    """Seed of initialization and data order, the first of `seeds`."""
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
            self.seed + self.seeds <= 2**31,
            f"seed {self.seed}: must be at most 2^31 less the number of seeds, {self.seeds}",
        )
        _require(
            self.unique_tokens % self.model.context_length == 0,
            f"unique_tokens {self.unique_tokens}: must be a multiple of context_length, "
            f"{self.model.context_length}",
        )
        taught = self.teacher != NO_TEACHER or "teacher" in {axis.option for axis in self.axes}
        _require(
            self.distillation_share == 1.0 or taught,
            f"distillation_share {self.distillation_share:g}: there is no teacher: name one by teacher, as "
            "FOLDER:CELL_ID",
        )
        for width in self.ladder:
            self.rates.at(width, self.rates.base_tokens)
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

    def axis_values(self, option: str) -> tuple[Any, ...]:
        """The values at which an axis varies the option; none where it is no axis."""
        return next((axis.values for axis in self.axes if axis.option == option), ())

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
        """In JSON every option stands under its own name, as on the command line, but for those that are left
        out at their default."""
        values = to_json(self)
        return {
            option: _at(values, path)
            for option, path in OPTIONS.items()
            if path[-1] in _at(values, path[:-1])
        }

    @model_validator(mode="wrap")
    @classmethod
    def _from_flat(cls, values: Any, from_json: ModelWrapValidatorHandler[SweepConfig]) -> SweepConfig:
        return from_json(_grouped(values) if isinstance(values, dict) else values)

    @property
    def distillation(self) -> Distillation | None:
        """How the cells learn from a teacher, if they do; not for a sweep that varies it.

        Raises `UserError` where what the teacher is was not looked up.
        """
        if self.teacher == NO_TEACHER or not self.distillation_share:
            return None
        cell_id = self.teacher.rpartition(":")[2]
        known = [teacher for teacher in self.teachers if teacher.cell_id == cell_id]
        _require(bool(known), f"teacher {self.teacher}: what it is was not looked up: see with_teachers")
        return Distillation(known[0], self.distillation_share)

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

    def most_tokens(self, corpus: Corpus) -> float:
        """The tokens that a cell may be trained on, by `max_epochs`."""
        available = corpus.n_tokens("train")
        return min(self.unique_tokens or available, available) * self.max_epochs

    def horizon(self, tokens: float) -> float:
        """The tokens at the middle of the trunk that a run of `tokens` shares; its own, without trunks.

        The spans tile the axis of log tokens from `rates.base_tokens` on, whatever budgets there are, so that
        a further budget leaves the trunks that are there as they are.
        """
        if self.schedule.name != "wsd":
            return tokens
        base, step = self.rates.base_tokens, math.log(self.trunk_span)
        return base * math.exp(step * round(math.log(tokens / base) / step))

    def batch_at(self, horizon: float) -> int:
        """Windows in one step of a run of `horizon` tokens."""
        at_base = self.batch_size
        if self.batch_tokens:
            at_base = max(1, round(self.batch_tokens / self.model.context_length))
        if not self.batch_exponent:
            return at_base
        windows = max(at_base * (horizon / self.rates.base_tokens) ** self.batch_exponent, 1.0)
        unit = 2 ** max(math.floor(math.log2(windows)) - 1, 0)
        return round(windows / unit) * unit

    def warmup_at(self, horizon: float) -> int:
        """Steps of warm-up of a run of `horizon` tokens."""
        steps = horizon / (self.batch_at(horizon) * self.model.context_length)
        return max(1, round(self.warmup_share * steps))


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
        *("sizes", "seeds", "retries", "checks", "max_epochs", "eval_windows", "eval_data", "tune_windows"),
        "seed",
        *("keep", "checkpoint_steps", "axes", "trackers", "tokenizer", "teachers"),
    )
)
"""Options of the sweep as a whole: its grid, its stages, and the tokens that all its cells share."""


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
