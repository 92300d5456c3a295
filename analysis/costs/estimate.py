"""A forecast number: the bound that no implementation beats, and where real ones are expected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

BANDWIDTH_SHARE = 0.8
"""Share of the memory bandwidth that kernels reach, and ..."""
STEP_SECONDS = 3e-6
"""... what a step takes besides: NVIDIA's aiconfigurator @ 095f58a, systems/h100_sxm.yaml
(`mem_bw_empirical_scaling_factor`, `mem_empirical_constant_latency`), which calls both "nonofficial"."""
SUM_SECONDS = 1e-5
"""What a sum over devices takes besides sending: `p2p_latency` of the same file, as nonofficial."""
UTILIZATION = (0.4, 0.5)
"""Shares of peak that well-tuned training and prefill reach; the middle is what is expected."""
SPREAD = 0.3
"""Real servers lie 30 to 45% off the best public models of them: no number of serving promises better."""


@dataclass(frozen=True)
class Estimate:
    """`roofline`: by peak FLOP/s and bandwidth alone, the end that no implementation passes; `expected`, and
    the range `low` to `high` about it."""

    roofline: float
    expected: float
    low: float
    high: float

    def then(self, f: Callable[[float], float]) -> Estimate:
        """A quantity that rises or falls throughout with this one."""
        low, high = sorted((f(self.low), f(self.high)))
        return Estimate(f(self.roofline), f(self.expected), low, high)

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            self.roofline + other.roofline,
            self.expected + other.expected,
            self.low + other.low,
            self.high + other.high,
        )


def served(roofline: float, expected: float) -> Estimate:
    """A time of a server, in seconds: the range is `SPREAD` about what is expected, above the roofline."""
    low = max(roofline, expected * (1 - SPREAD))
    return Estimate(roofline, expected, low, expected * (1 + SPREAD))


def utilized(seconds: float, utilization: tuple[float, ...]) -> Estimate:
    """A time of training, from its seconds at peak and the shares of peak that it runs at."""
    low, high = min(utilization), max(utilization)
    return Estimate(seconds, seconds / (0.5 * (low + high)), seconds / high, seconds / low)
