"""What a sweep is: one frozen value, from which everything else follows."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache
from typing import Annotated, Literal, Protocol, get_args, get_origin, get_type_hints

from isoflop.base import plugin_files, plugins
from isoflop.base.errors import UserError
from isoflop.base.ranges import Range, check_ranges
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


Width = Annotated[int, Range(at_least=4)]
Positive = Annotated[float, Range(above=0)]
Flops = Positive
Share = Annotated[float, Range(at_least=0, below=1)]
Count = Annotated[int, Range(at_least=1)]


@dataclass(frozen=True)
class Rates:
    """How the learning rate is found: a rate for each width, `coefficient` * width ** -`exponent`.

    With `tried`, the coefficient and exponent are fitted to the best rates at the `anchors`, each trained at
    every rate `coefficient * width ** -exponent * factor` for the factors in `tried`, on evaluation windows
    of their own. Without, the rule is taken as it stands.
    """

    coefficient: Positive
    """The rule's peak learning rate at width 1, before tuning."""
    exponent: Annotated[float, Range()] = 0.5
    """How fast the rule's rate falls with the width; 0 is one rate for all widths."""
    tried: tuple[Positive, ...] = ()
    """Factors of the rule's rate that are tried at each anchor; none is no tuning."""
    anchors: tuple[tuple[Width, Flops], ...] = ()
    """Where rates are tried: pairs of a width and a budget in FLOPs, two far apart to fit the exponent."""

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
    centre_exponent: Annotated[float, Range(at_least=0, at_most=1)] = 0.5
    """How fast the expected best parameter count grows with the budget: as budget ** centre_exponent."""
    data: str = "wiki-intro"
    """The corpus: a source that `isoflop data list` shows, with its argument after a colon."""
    tokenizer: str = "bytes"
    """bytes, or bpe-SIZE, trained on the corpus' own training text."""
    context_length: Count = 128
    """Tokens that a window predicts; text wants a power of two up to 1024."""
    batch_size: Count = 1
    """Windows in one step."""
    architecture: str = "decoder"
    """The model's code: a file in models/ by name, or the path of a .py file of one's own, which is copied
    and named by its content."""
    mlp: Mlp = "swiglu"
    """The feed-forward layers' nonlinearity; swiglu has a gate, and a narrower layer for it."""
    tie_embeddings: bool = False
    """Whether the output head is the embedding's matrix."""
    experts: Count = 1
    """Feed-forward layers to choose from, in a mixture of experts; 1 is a dense model."""
    experts_per_token: Count = 1
    """Experts that a token visits, at most `experts`."""
    capacity_factor: Positive = 1.25
    """Room that each expert has, over an even share of a window's tokens; tokens beyond it are dropped."""
    across_documents: bool = True
    """Whether attention crosses the boundaries of documents packed into one window."""
    parametrization: Parametrization = "completep"
    """How rates, decay and branches follow width and depth: see train/parametrization.py."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW, or Muon for the blocks' matrices and Adam for the rest."""
    schedule: Literal["wsd", "cosine", "linear"] = "wsd"
    """The learning rate over steps: wsd (warm up, stay, decay) shares trunks between budgets; the others
    train every cell alone."""
    warmup_share: Share = 0.05
    """Warm-up, as a share of the steps of a width's smallest cell; 0 is one step."""
    decay_fraction: Annotated[float, Range(above=0, below=1)] = 0.2
    """The share of its steps over which a wsd cell decays."""
    beta2: Share = 0.99
    """Adam's decay of the second moment."""
    weight_decay: Annotated[float, Range(at_least=0)] = 0.1
    """Decoupled weight decay of matrices, times the current rate; 0 is none."""
    clip: Annotated[float, Range(at_least=0)] = 1.0
    """The largest global gradient norm, to which longer gradients are cut; 0 is no clipping."""
    replicates: Annotated[int, Range(at_least=0, at_most=1000)] = 1
    """Further seeds of the best size of each budget."""
    retries: Annotated[int, Range(at_least=0, at_most=20)] = 2
    """Further attempts at a cell that diverged, each under another seed and at half the rate before."""
    checks: bool = True
    """Whether to test the schedule and the rate rule at the largest budget's minimum, by three runs more."""
    max_epochs: Positive = 1.0
    """Passes over the corpus that a cell may make; more than one repeats tokens."""
    eval_windows: Annotated[int, Range(at_least=2)] = 1024
    """Held-out windows that give each cell's loss; the same for all cells."""
    tune_windows: Annotated[int, Range(at_least=2)] = 512
    """Windows of the tuning split that compare learning rates."""
    seed: Annotated[int, Range(at_least=0, below=2**31)] = 0
    """Seed of initialization and data order; replicates take the seeds after it."""
    dtype: Dtype = "float32"
    """Of the products; parameters, moments, norms, softmax and losses are float32 always."""
    keep: Literal["none", "trunks", "all"] = "trunks"
    """Checkpoints kept: none; the trunks', from which further budgets can branch; and the finished models."""
    checkpoint_steps: Count = 20_000
    """The longest stretch trained between two checkpoints."""
    trackers: tuple[str, ...] = ("jsonl", "wandb")
    """Where cells are mirrored to: files in sweeps/trackers/ by name, or .py files of one's own."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "architecture", plugin_files.pin(self.architecture, "architecture"))
        self._require_known_choices()
        check_ranges(self)
        _require(len(self.budgets) > 0, f"sweep {self.name}: budgets is empty: name at least one, in FLOPs")
        _require(list(self.budgets) == sorted(set(self.budgets)), "budgets must rise and not repeat")
        _require(list(self.ladder) == sorted(set(self.ladder)), "ladder must rise and not repeat")
        _require(self.sizes <= len(self.ladder), f"sizes {self.sizes}: the ladder has {len(self.ladder)}")
        _require(self.centre_width in self.ladder, f"centre_width {self.centre_width} is not on the ladder")
        _require(
            not self.tie_embeddings or self.parametrization == "standard",
            f"tie_embeddings with parametrization {self.parametrization}: a tied matrix wants two rates: "
            "untie it, or take standard",
        )
        _require(
            bool(self.rates.tried) == bool(self.rates.anchors),
            "rates.tried and rates.anchors go together: give both, or neither",
        )
        _require(
            self.seed + self.replicates < 2**31,
            f"seed {self.seed}: must be below 2^31 with its {self.replicates} replicates",
        )
        self._require_rates()

    def _require_rates(self) -> None:
        for width in self.ladder:
            try:
                rate = self.rates.at(width)
            except OverflowError:
                rate = math.inf
            _require(
                0 < rate < math.inf,
                f"rates.exponent {self.rates.exponent:g}: makes the learning rate {rate:g} at width {width}",
            )

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
