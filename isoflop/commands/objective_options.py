"""What a law is fitted by: the options that `isoflop fit` and what rests on its fit share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class ObjectiveOptions:
    """The law, the objective and the runs that enter it."""

    law: str = "chinchilla"
    """The law of approach 3, or a .py file of your own."""
    loss: Literal["huber", "mse"] = "huber"
    """What is summed over the runs."""
    space: Literal["log", "raw"] = "log"
    """Residuals of the log loss, or of the loss in nats."""
    delta: float = 1e-3
    """The Huber loss's threshold, in units of the residual."""
    drop_worst: int = 0
    """Leave out this many runs of highest loss."""
    weights: Literal["none", "seeds"] = "none"
    """seeds: weigh runs by the noise of replicated seeds at their compute."""

    @property
    def objective(self) -> dict[str, Any]:
        """These options by name, as `FitOptions` takes them."""
        return {name: getattr(self, name) for name in ObjectiveOptions.__dataclass_fields__}
