"""What a fit may be asked for; the command line takes its options from here."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from isoflop.analysis.constraints import parse_ties, parse_values
from isoflop.base.errors import UserError
from isoflop.base.fields import InvalidFieldError, Positive, check_fields

CountName = Literal["total", "non_embedding", "body", "active"]
COUNTS: dict[CountName, str] = {
    "total": "all parameters",
    "non_embedding": "transformer blocks, output head and final norm",
    "body": "transformer blocks alone",
    "active": "parameters that a token uses: of a mixture's experts those that it visits",
}
"""What N counts, by the name for it."""
FlopsName = Literal["exact", "6nd"]
Approach = Literal[1, 2, 3]
Curve = Literal["parabola", "akima", "argmin"]
Resampling = Literal["auto", "runs", "budgets", "trunks", "residuals"]

FEWEST_RESAMPLES = 20
"""Resamples below which percentiles say nothing."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveOptions:
    """The law, the objective and the runs that enter it; the defaults are those of Hoffmann et al. (2022)."""

    law: str = "chinchilla"
    """The law of approach 3: its name, or the path of a .py file of your own."""
    loss: Literal["huber", "mse"] = "huber"
    """What is summed over the runs."""
    space: Literal["log", "raw"] = "log"
    """Residuals of the log loss, or of the loss in nats."""
    delta: Annotated[float, Field(ge=1e-12)] = 1e-3
    """The Huber loss's threshold, in units of the residual."""
    overestimate_weight: Annotated[float, Field(ge=1, le=1e4)] = 1.0
    """How many times a run below the law counts one as far above it; above 1 (10, say) the law is the runs'
    lower envelope: what well-tuned runs would reach."""
    drop_worst: Annotated[int, Field(ge=0)] = 0
    """Leave out this many runs of highest loss."""
    weights: Literal["none", "seeds"] = "none"
    """seeds: weigh runs by the noise of replicated seeds at their compute."""

    def __post_init__(self) -> None:
        """Raises `UserError` for a value that its field does not take."""
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class FitOptions(ObjectiveOptions):
    """How to fit; the defaults are those of Hoffmann et al. (2022), approach 3, appendix D.3."""

    approach: Approach = 3
    """The approach of Hoffmann et al. (2022): 1 envelope, 2 IsoFLOP parabolas, 3 parametric law."""
    curve: Curve = "parabola"
    """What approach 2 draws through each budget's runs: parabola (Hoffmann et al. 2022), akima (Porian et al.
    2024); argmin takes the run of least loss."""
    minima_weights: Literal["equal", "precision"] = "equal"
    """How the minima of approach 2 count in the power laws; precision: by 1 / variance of log N_opt, as
    Porian et al. (2024) do."""
    count: CountName | None = None
    """What N counts; None: as the table was loaded."""
    flops: FlopsName | None = None
    """What C counts; None: as the table was loaded."""
    intervals: Literal["bootstrap", "profile"] = "bootstrap"
    """profile: where the objective rises past a threshold calibrated by simulation (approach 3)."""
    profile_at: Positive | None = None
    """FLOPs at which profiles give N_opt and the loss there; the largest budget unless given."""
    resample: Resampling = "auto"
    """What the bootstrap of approach 3 draws; auto: by trunk where trunks are shared, else by run; residuals:
    with a trunk effect where trunks are shared."""
    bootstrap: Annotated[int, Field(ge=0)] = 1000
    """Resamples for the intervals; 0: none."""
    level: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Coverage the intervals aim at."""
    seed: Annotated[int, Field(ge=0)] = 0
    """The seed of the resampling; the starts are fixed."""
    starts: Annotated[int, Field(ge=2)] = 512
    """Starting points of approach 3, a fixed Latin hypercube over the law's box."""
    forms: bool = False
    """Also fit the other laws, so that predictive intervals take in the law's form (approach 3)."""
    fix: tuple[str, ...] = ()
    """Hold parameters at values: E=1.6,... (approach 3)."""
    tie: tuple[str, ...] = ()
    """Hold parameters equal: alpha=beta,... (approach 3)."""
    share: tuple[str, ...] = ()
    """One value of these parameters for all groups of --by: alpha,beta; the others are each group's own."""
    by: str | None = None
    """The column that tells the groups of --share apart."""
    holdout: Positive | None = None
    """Fit the runs below this many FLOPs (the nominal budget, where the table has it), score those at or
    above."""

    def __post_init__(self) -> None:
        """Raises `UserError` for a value that its field does not take."""
        super().__post_init__()
        for name, parsed in (("fix", parse_values), ("tie", parse_ties)):
            try:
                parsed(getattr(self, name))
            except ValueError as error:
                raise InvalidFieldError(name, str(error)) from None
        if self.approach != 3 and (self.fix or self.tie or self.share):
            raise UserError("--fix, --tie and --share are for approach 3: no other fits a law's parameters")
        if bool(self.share) != bool(self.by):
            given, lacking = ("--share", "--by") if self.share else ("--by", "--share")
            raise UserError(f"{given} without {lacking}: give both, as in --share alpha,beta --by dataset")
        if 0 < self.bootstrap < FEWEST_RESAMPLES:
            reason = f"{self.bootstrap}: must be 0, or at least {FEWEST_RESAMPLES}"
            raise InvalidFieldError("bootstrap", reason)

    def refuse_share(self, what: str) -> None:
        """Raises `UserError` for shared parameters: `what` needs one law for all runs."""
        if self.share:
            raise UserError(
                f"{what} takes no --share: it needs one law for all runs; choose one group instead, as in "
                f"--where {self.by}=NAME"
            )

    @classmethod
    def among(cls, asked: Any) -> FitOptions:
        """The options among the fields of a command line; the defaults for those that it lacks."""
        names = (field.name for field in dataclasses.fields(FitOptions))
        return FitOptions(**{name: getattr(asked, name) for name in names if hasattr(asked, name)})
