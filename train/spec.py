"""What is trained, as values: frozen, to JSON and back, and named by a hash of their content."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Annotated, Literal

import tyro
from pydantic import Field

from isoflop.base.fields import Fraction, InvalidFieldError, NotNegative, Positive, check_fields
from isoflop.base.json_values import canonical_json, content_id
from isoflop.models import Ledger, ModelConfig, ledger
from isoflop.models.config import Dtype
from isoflop.train.data.order import DataOrder

RESULTS_VERSION = 3
"""Part of every hash. Raised by any change of this code that changes the numbers a recipe gives."""

Parametrization = Literal["standard", "mup", "completep"]
BASE_WIDTH, BASE_DEPTH = 64, 2
"""Features and layers at which all parametrizations (`isoflop.train.parametrization`) are the same model."""

Split = Literal["train", "tune", "heldout"]


@dataclass(frozen=True)
class DataSpec:
    """A prepared corpus. `source` and `tokenizer` as on the command line; `digest`: of the token rows."""

    source: str
    tokenizer: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class _AdamOptions:
    """What Adam takes besides a rate, and what is done to every gradient and weight."""

    beta1: Fraction = 0.9
    """Adam's decay of the first moment."""
    beta2: Fraction = 0.99
    """Adam's decay of the second moment."""
    eps: Positive = 1e-8
    """Added to the root of the second moment, which Adam divides by."""
    weight_decay: NotNegative = 0.1
    """Decoupled weight decay of matrices, times the current rate; 0 is none."""
    clip: NotNegative = 1.0
    """The largest global gradient norm, to which longer gradients are cut; 0 is no clipping."""

    def __post_init__(self) -> None:
        check_fields(self, "optimizer.")


@dataclass(frozen=True, kw_only=True)
class _MuonOptions(_AdamOptions):
    momentum: Fraction = 0.95
    """Muon's momentum of the blocks' matrices; the betas are those of Adam, for the rest."""


@dataclass(frozen=True)
class AdamW(_AdamOptions):
    """Loshchilov and Hutter (2019): weight decay decoupled, times the current rate, as in optax."""

    peak_lr: NotNegative
    """The schedule's maximum."""
    name: Literal["adamw"] = field(default="adamw", kw_only=True)


@dataclass(frozen=True)
class Muon(_MuonOptions):
    """Jordan et al. (2024): orthogonalized momentum for the blocks' matrices, Adam for everything else.

    A matrix' update has the root mean square of Adam's (Liu et al. 2025, section 2.2), so that rates and
    weight decay mean what they mean for `AdamW`.
    """

    peak_lr: NotNegative
    """The schedule's maximum."""
    name: Literal["muon"] = field(default="muon", kw_only=True)


Optimizer = Annotated[AdamW | Muon, Field(discriminator="name")]


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions(_MuonOptions):
    """The optimizer, but for its rate."""

    name: Annotated[Literal["adamw", "muon"], tyro.conf.arg(name="optimizer")] = "adamw"
    """AdamW, or Muon for the blocks' matrices and Adam for the rest."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name != "muon" and self.momentum != _MuonOptions.momentum:
            raise InvalidFieldError(
                "optimizer.momentum", f"{self.momentum:g}: is Muon's: choose optimizer muon too"
            )

    def at(self, peak_lr: float) -> AdamW | Muon:
        """The optimizer at a rate."""
        cls = {"adamw": AdamW, "muon": Muon}[self.name]
        own = {f.name for f in fields(cls)} - {"peak_lr"}
        return cls(peak_lr, **{name: value for name, value in vars(self).items() if name in own})


@dataclass(frozen=True)
class ScheduleOptions:
    """The learning rate over steps, but for its warm-up."""

    name: Annotated[Literal["wsd", "cosine", "linear"], tyro.conf.arg(name="schedule")] = "wsd"
    """The learning rate over steps: wsd (warm up, stay, decay) shares trunks between budgets; the others
    train every cell alone."""
    decay_fraction: Annotated[float, Field(gt=0, lt=1)] = field(default=0.2, kw_only=True)
    """The share of its steps over which a wsd cell decays."""
    final_fraction: Annotated[float, Field(ge=0, le=1)] = field(default=0.0, kw_only=True)
    """The rate after the last step, over the peak."""

    def __post_init__(self) -> None:
        check_fields(self, "schedule.")


@dataclass(frozen=True)
class Schedule(ScheduleOptions):
    """The learning rate over steps, as a share of the peak."""

    warmup_steps: Annotated[int, Field(ge=0)] = field(kw_only=True)

    def decay_start(self, steps: int) -> int:
        """First step of a `steps`-step run that depends on where the run ends."""
        return steps - round(self.decay_fraction * steps) if self.name == "wsd" else 0


def branch_scale(parametrization: Parametrization, depth: int) -> float:
    """What each residual branch of a model of `depth` layers is multiplied by."""
    return BASE_DEPTH / depth if parametrization == "completep" else 1.0


@dataclass(frozen=True)
class Teacher:
    """A trained model that students learn from, named by its content: its `cell_id`, and the `digest` of its
    parameters.

    `model` and `dtype` (of its products) give its logits; `data`: what it was trained on. `flops` of its
    training, by the exact ledger, and `loss`, held out, in nats per token, stand in its students' rows.
    """

    cell_id: str
    digest: str
    model: ModelConfig
    dtype: Dtype
    data: DataSpec
    flops: int
    loss: float


@dataclass(frozen=True)
class Distillation:
    """Knowledge distillation (Hinton et al. 2015) at temperature 1: `share` of the loss is the cross-entropy
    against the teacher's distribution, over the whole vocabulary; the rest is that of the data."""

    teacher: Teacher
    share: Annotated[float, Field(gt=0, le=1)]

    def token_flops(self, context_length: int) -> int:
        """FLOPs of the teacher's forward pass per token, in windows of that length."""
        return ledger(replace(self.teacher.model, context_length=context_length)).forward_flops


@dataclass(frozen=True)
class Recipe:
    """All that determines a run but its length. `batch_size` in windows of the model's context length;
    `parametrization`: how rates and decay scale with the width (see `isoflop.train.parametrization`);
    `unique_windows`: how many windows it draws before it repeats those; None: as many as the corpus has, or
    more than the run takes; `distillation`: the teacher that it learns from, if any."""

    model: ModelConfig
    data: DataSpec
    optimizer: Optimizer
    schedule: Schedule
    batch_size: int
    init_seed: int
    data_seed: int
    parametrization: Parametrization = "standard"
    dtype: Dtype = "float32"
    unique_windows: Annotated[int | None, Field(exclude_if=lambda value: value is None)] = None
    distillation: Annotated[Distillation | None, Field(exclude_if=lambda value: value is None)] = None
    version: int = RESULTS_VERSION

    @property
    def batch_tokens(self) -> int:
        """Tokens in one step."""
        return self.batch_size * self.model.context_length

    @property
    def unique_tokens(self) -> float:
        """Tokens that it draws before it repeats them; infinite where only the corpus sets a bound."""
        return math.inf if self.unique_windows is None else self.unique_windows * self.model.context_length

    @property
    def data_order(self) -> DataOrder:
        """In which order it takes its training windows."""
        return DataOrder(self.batch_size, self.model.context_length, self.data_seed, self.unique_windows)

    @cached_property
    def ledger(self) -> Ledger:
        """The model's parameters and FLOPs."""
        return ledger(self.model)

    @cached_property
    def teacher_token_flops(self) -> int:
        """FLOPs of its teacher's forward pass per token, which `ledger` leaves out; 0 without a teacher."""
        return self.distillation.token_flops(self.model.context_length) if self.distillation else 0

    @cached_property
    def _hash(self) -> int:
        return hash(self.canonical)

    def __hash__(self) -> int:
        """Made once: a tree of many cells is built by their recipes."""
        return self._hash

    @cached_property
    def canonical(self) -> str:
        """Its canonical JSON, part of the names of all its cells and segments."""
        return canonical_json(self)


@dataclass(frozen=True)
class CellSpec:
    """One trained model to be evaluated: a recipe, its length in steps, and what it is evaluated on.

    `eval_data`: further sources, evaluated on as many windows of the same split; a `cell_id` is as it was
    without.
    """

    recipe: Recipe
    steps: int
    split: Split = "heldout"
    eval_windows: int = 1024
    eval_data: tuple[str, ...] = ()

    @cached_property
    def cell_id(self) -> str:
        """Hash of the canonical JSON: the same work has the same name."""
        return content_id(self)

    @property
    def tokens(self) -> int:
        """Tokens trained on."""
        return self.steps * self.recipe.batch_tokens

    @property
    def flops(self) -> int:
        """Training FLOPs by the exact ledger."""
        return self.tokens * self.recipe.ledger.train_flops


@dataclass(frozen=True)
class Segment:
    """Steps `start` to `stop` of a recipe, continued from the segment named `parent` (None: from init).

    `total`: the steps at which the schedule ends; None on a trunk, which no budget's end has reached yet.
    """

    recipe: Recipe
    start: int
    stop: int
    total: int | None
    parent: str | None

    @cached_property
    def segment_id(self) -> str:
        """Hash of the canonical JSON, the parent's hash included."""
        return content_id(self)

    @property
    def flops(self) -> int:
        """Training FLOPs of this stretch alone."""
        return (self.stop - self.start) * self.recipe.batch_tokens * self.recipe.ledger.train_flops
