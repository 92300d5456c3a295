"""What a sweep is: one frozen value, from which everything else follows."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Literal, Protocol, get_args, get_origin, get_type_hints

from isoflop.base import plugin_files, plugins
from isoflop.base.errors import UserError
from isoflop.models import ModelConfig, family, ledger
from isoflop.models.config import Mlp
from isoflop.train.parametrization import branch_scale
from isoflop.train.spec import Dtype, Parametrization


class Vocabulary(Protocol):
    """What a model's shape takes of a corpus."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def eos(self) -> int | None: ...


@dataclass(frozen=True)
class Rates:
    """How the learning rate is found: a rate for each width, `coefficient` * width ** -`exponent`.

    With `tried`, the coefficient and exponent are fitted to the best rates at the `anchors`, each a
    (width, budget in FLOPs) pair trained at every rate `coefficient * width ** -exponent * factor` for the
    factors in `tried`, on evaluation windows of their own. Without, the rule is taken as it stands.
    """

    coefficient: float
    exponent: float = 0.5
    tried: tuple[float, ...] = ()
    anchors: tuple[tuple[int, float], ...] = ()

    def at(self, width: int) -> float:
        """The rule's peak learning rate for a width."""
        return self.coefficient * width**-self.exponent

    def __str__(self) -> str:
        return f"{self.coefficient:g} * width^{0 - self.exponent:g}"  # of zero, not minus zero


@dataclass(frozen=True)
class SweepConfig:
    """A grid of model sizes and compute budgets on one corpus, and how each cell is trained.

    Each budget (FLOPs, by the exact ledger) is spent on `sizes` neighbours of the `ladder` of widths,
    centred on the width whose parameter count is nearest to N(centre_width) * (budget / centre_budget) **
    centre_exponent, so that the sizes slide along with the budget's minimum.
    """

    name: str
    title: str
    budgets: tuple[float, ...]
    ladder: tuple[int, ...]
    centre_width: int
    centre_budget: float
    rates: Rates
    sizes: int = 5
    centre_exponent: float = 0.5
    data: str = "wiki-intro"
    tokenizer: str = "bytes"
    context_length: int = 128
    batch_size: int = 1
    architecture: str = "decoder"
    """The model's code: a file in models/ by name, or the path of a .py file of one's own, which is copied
    and named by its content."""
    mlp: Mlp = "swiglu"
    tie_embeddings: bool = False
    experts: int = 1
    """Feed-forward layers to choose from, in a mixture of experts; 1 is a dense model."""
    experts_per_token: int = 1
    capacity_factor: float = 1.25
    """Room that each expert has, over an even share of a window's tokens; tokens beyond it are dropped."""
    across_documents: bool = True
    """Whether attention crosses the boundaries of documents packed into one window."""
    parametrization: Parametrization = "completep"
    """How rates, decay and branches follow width and depth: see train/parametrization.py."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    schedule: Literal["wsd", "cosine", "linear"] = "wsd"
    warmup_share: float = 0.05
    """Warm-up, as a share of the steps of a width's smallest cell."""
    decay_fraction: float = 0.2
    beta2: float = 0.99
    weight_decay: float = 0.1
    clip: float = 1.0
    replicates: int = 1
    """Further seeds of the best size of each budget."""
    retries: int = 2
    """Further attempts at a cell that diverged, each under another seed and at half the rate before."""
    checks: bool = True
    """Whether to test the schedule and the rate rule at the largest budget's minimum, by three runs more."""
    max_epochs: float = 1.0
    """Passes over the corpus that a cell may make; more than one repeats tokens."""
    eval_windows: int = 1024
    tune_windows: int = 512
    seed: int = 0
    dtype: Dtype = "float32"
    """Of the products; parameters, moments, norms, softmax and losses are float32 always."""
    keep: Literal["none", "trunks", "all"] = "trunks"
    """Checkpoints kept: none; the trunks', from which further budgets can branch; and the finished models."""
    checkpoint_steps: int = 20_000
    """The longest stretch trained between two checkpoints."""
    trackers: tuple[str, ...] = ("jsonl", "wandb")

    def __post_init__(self) -> None:
        object.__setattr__(self, "architecture", plugin_files.pin(self.architecture, "architecture"))
        self._require_known_choices()
        _require(len(self.budgets) > 0, f"sweep {self.name}: budgets is empty: name at least one, in FLOPs")
        _require(
            all(math.isfinite(c) and c > 0 for c in self.budgets),
            f"sweep {self.name}: budgets {self.budgets} must be positive numbers of FLOPs",
        )
        _require(list(self.budgets) == sorted(set(self.budgets)), "budgets must rise and not repeat")
        _require(list(self.ladder) == sorted(set(self.ladder)), "ladder must rise and not repeat")
        _require(
            1 <= self.sizes <= len(self.ladder), f"sizes {self.sizes}: the ladder has {len(self.ladder)}"
        )
        _require(self.centre_width in self.ladder, f"centre_width {self.centre_width} is not on the ladder")
        _require(
            math.isfinite(self.centre_budget) and self.centre_budget > 0,
            f"centre_budget {self.centre_budget} must be a positive number of FLOPs",
        )
        _require(self.batch_size >= 1, f"batch_size {self.batch_size} must be at least 1")
        _require(0 < self.decay_fraction < 1, f"decay_fraction {self.decay_fraction} must be within 0 and 1")
        _require(0 <= self.warmup_share < 1, f"warmup_share {self.warmup_share} must be from 0 to below 1")
        _require(self.rates.coefficient > 0, "rates.coefficient must be positive")
        _require(
            not self.tie_embeddings or self.parametrization == "standard",
            f"tie_embeddings with parametrization {self.parametrization}: a tied matrix wants two rates: "
            "untie it, or take standard",
        )
        _require(self.max_epochs > 0, f"max_epochs {self.max_epochs} must be positive")
        _require(self.checkpoint_steps >= 1, "checkpoint_steps must be at least 1")
        _require(
            bool(self.rates.tried) == bool(self.rates.anchors),
            "rates.tried and rates.anchors go together: give both, or neither",
        )
        for name in ("eval_windows", "tune_windows"):  # a standard error takes two
            _require(getattr(self, name) >= 2, f"{name} {getattr(self, name)} must be at least 2")
        _require(self.retries >= 0, f"retries {self.retries} must not be negative")
        _require(self.replicates >= 0, f"replicates {self.replicates} must not be negative")
        _require(0 <= self.seed < 2**31 - self.replicates, f"seed {self.seed} must be from 0 to below 2^31")

    def _require_known_choices(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            value = getattr(self, name)
            _require(
                get_origin(hint) is not Literal or value in get_args(hint),
                f"{name} {value!r} is unknown: choose one of {', '.join(map(str, get_args(hint)))}",
            )

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(vars(self)[f.name] for f in fields(self)))

    def __hash__(self) -> int:
        """Made once: a plan of many cells looks things up by its config again and again."""
        return self._hash

    def model(self, width: int, corpus: Vocabulary) -> ModelConfig:
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


# A plan of a hundred thousand cells asks for few models, again and again.


@lru_cache(maxsize=1 << 14)
def _model(config: SweepConfig, width: int, vocab_size: int, eos: int | None) -> ModelConfig:
    shape = family(
        width,
        vocab_size=vocab_size,
        context_length=config.context_length,
        architecture=config.architecture,
        mlp=config.mlp,
        tie_embeddings=config.tie_embeddings,
        experts=config.experts,
        experts_per_token=config.experts_per_token,
        capacity_factor=config.capacity_factor,
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
