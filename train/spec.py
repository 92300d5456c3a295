"""What is trained, as values: frozen, to JSON and back, and named by a hash of their content."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from isoflop.base.json_values import canonical_json, content_id
from isoflop.models import Ledger, ModelConfig, ledger

RESULTS_VERSION = 2
"""Part of every hash. Raised by any change of this code that changes the numbers a recipe gives."""

Split = Literal["train", "tune", "heldout"]


@dataclass(frozen=True)
class DataSpec:
    """A prepared corpus. `source` and `tokenizer` as on the command line; `digest`: of the token rows."""

    source: str
    tokenizer: str
    digest: str


@dataclass(frozen=True)
class AdamW:
    """Loshchilov and Hutter (2019), decoupled weight decay times the current rate, as in optax.

    `peak_lr`: the schedule's maximum. `weight_decay` acts on the matrices of the blocks and the head.
    `clip`: largest global gradient norm; 0 is no clipping.
    """

    peak_lr: float
    beta1: float = 0.9
    beta2: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0
    name: Literal["adamw"] = "adamw"


@dataclass(frozen=True)
class Muon:
    """Jordan et al. (2024): orthogonalized momentum for the blocks' matrices, Adam for everything else.

    A matrix' update has the root mean square of Adam's (Liu et al. 2025, section 2.2), so that rates and
    weight decay mean what they mean for `AdamW`. `momentum`: of the matrices; the betas are Adam's.
    """

    peak_lr: float
    momentum: float = 0.95
    beta1: float = 0.9
    beta2: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip: float = 1.0
    name: Literal["muon"] = "muon"


Optimizer = Annotated[AdamW | Muon, Field(discriminator="name")]
OPTIMIZERS: dict[str, type[AdamW | Muon]] = {"adamw": AdamW, "muon": Muon}
Parametrization = Literal["standard", "mup", "completep"]
Dtype = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Schedule:
    """Learning rate over steps. `decay_fraction`: of all steps, for `wsd`; `final_fraction`: of the peak."""

    name: Literal["wsd", "cosine", "linear"]
    warmup_steps: int
    decay_fraction: float = 0.2
    final_fraction: float = 0.0

    def decay_start(self, steps: int) -> int:
        """First step of a `steps`-step run that depends on where the run ends."""
        return steps - round(self.decay_fraction * steps) if self.name == "wsd" else 0


@dataclass(frozen=True)
class Recipe:
    """All that determines a run but its length. `batch_size` in windows of the model's context length;
    `parametrization`: how rates and decay scale with the width (see `isoflop.train.parametrization`)."""

    model: ModelConfig
    data: DataSpec
    optimizer: Optimizer
    schedule: Schedule
    batch_size: int
    init_seed: int
    data_seed: int
    parametrization: Parametrization = "standard"
    dtype: Dtype = "float32"
    version: int = RESULTS_VERSION

    @property
    def batch_tokens(self) -> int:
        """Tokens in one step."""
        return self.batch_size * self.model.context_length

    @cached_property
    def ledger(self) -> Ledger:
        """The model's parameters and FLOPs."""
        return ledger(self.model)

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
    """One trained model to be evaluated: a recipe, its length in steps, and what it is evaluated on."""

    recipe: Recipe
    steps: int
    split: Split = "heldout"
    eval_windows: int = 1024

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
