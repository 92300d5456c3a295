"""Peak learning rate and batch for an N and D, by every published rule side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from isoflop.analysis.laws import Law, find_law, known_laws
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.laws.law import Published
from isoflop.analysis.laws.rate_by_size_and_tokens import BJORCK, DELPHI
from isoflop.base.display import Displayed, Summary
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, short
from isoflop.base.json_values import Serializable

RATE, BATCH = "lr", "batch_tokens"
"""What rules give: columns of the run table."""
FURTHER = 3.0
"""A rule is said to be beyond its runs from this factor on."""


@dataclass(frozen=True)
class Rule:
    """What one published rule says. `lr`: the peak rate; `batch_tokens`: tokens; None: it gives none."""

    name: str
    lr: float | None
    batch_tokens: float | None
    follows: str
    """The inputs that it uses: `lr by N, D; batch by D`."""
    source: str
    beyond: float | None
    """How many times N or D lies beyond the rule's runs, 1 within; None where their range is not known."""


@dataclass(frozen=True, repr=False)
class Hyperparameters(Displayed, Serializable):
    """Rate and batch for a model by every published rule, and how far the rules are apart."""

    n_params: float
    """Parameters of blocks and head (non-embedding)."""
    n_params_body: float
    """Parameters of the blocks alone."""
    n_tokens: float
    flops: float
    rules: tuple[Rule, ...]
    lr_spread: float
    """The largest rate over the smallest; `batch_spread` likewise."""
    batch_spread: float
    warnings: tuple[str, ...]
    """Where the rules disagree, and what was assumed, a sentence each."""

    def summary(self) -> Summary:
        """A row a rule."""
        rows = [
            (
                rule.name,
                brief(rule.lr),
                "-" if rule.batch_tokens is None else short(rule.batch_tokens),
                rule.follows,
                _distance(rule.beyond),
            )
            for rule in self.rules
        ]
        title = f"Rate and batch for N {short(self.n_params)}, D {short(self.n_tokens)}"
        return Summary(title, ("rule", "peak lr", "batch, tokens", "from", "its runs"), rows, self.warnings)


def hyperparameters(
    N: float, D: float, *, body: float | None = None, flops: float | None = None
) -> Hyperparameters:
    """Peak rate and batch of every published rule that states its constants, for N parameters and D tokens.

    Args:
        N: parameters of blocks and head, without the embedding.
        D: training tokens.
        body: parameters of the blocks alone, which some rules count; N unless given.
        flops: training FLOPs of the blocks with attention; 6 N D of the blocks unless given.

    Raises `UserError` for what is no positive number, and for a body larger than N.
    """
    given = {"N": N, "D": D, "body": body, "flops": flops}
    for name, value in given.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UserError(f"{name} {value}: give a positive number")
    blocks = N if body is None else body
    if blocks > N:
        raise UserError(f"body {brief(body)} is more than N {brief(N)}, of which it is the blocks alone")
    C = 6 * blocks * D if flops is None else flops
    rules = _rules(N, blocks, D, C)
    return Hyperparameters(
        n_params=N,
        n_params_body=blocks,
        n_tokens=D,
        flops=C,
        rules=rules,
        lr_spread=_spread([rule.lr for rule in rules]),
        batch_spread=_spread([rule.batch_tokens for rule in rules]),
        warnings=(*_disagreements(rules), *_assumptions(rules, body is None)),
    )


def _rules(N: float, body: float, D: float, C: float) -> tuple[Rule, ...]:
    """Every set of constants that gives a rate or a batch of N, D and C; its two laws in one rule."""
    found: dict[str, dict[str, tuple[Law, Published]]] = {}
    for law in map(find_law, known_laws()):
        if law.target not in (RATE, BATCH) or any(c.column != "flops" for c in law.covariates):
            continue
        for published in law.published:
            found.setdefault(published.name, {})[law.target] = (law, published)
    rules = [_rule(name, parts, N, body, D, C) for name, parts in found.items()]
    return tuple(sorted(rules, key=lambda rule: rule.name))


def _rule(
    name: str, parts: dict[str, tuple[Law, Published]], N: float, body: float, D: float, C: float
) -> Rule:
    values: dict[str, float] = {}
    for target, (law, published) in parts.items():
        size = body if published.count == "body" else N
        extra = [C for _ in law.covariates]
        values[target] = float(evaluate(law, np.array(published.params), size, D, *extra))
    published = next(iter(parts.values()))[1]
    size = body if published.count == "body" else N
    words = {RATE: "lr", BATCH: "batch"}
    return Rule(
        name=name,
        lr=values.get(RATE),
        batch_tokens=values.get(BATCH),
        follows="; ".join(f"{words[t]} by {_inputs(parts[t][0])}" for t in (RATE, BATCH) if t in parts),
        source="; ".join(dict.fromkeys(published.source for _, published in parts.values())),
        beyond=_beyond(published, size, D),
    )


def _inputs(law: Law) -> str:
    """What stands in the parentheses of its equation: `N, D` of `lr(N, D) = ...`."""
    return law.equation.partition("(")[2].partition(")")[0]


def _beyond(published: Published, N: float, D: float) -> float | None:
    ranges = [(N, published.n_range), (D, published.d_range)]
    factors = [max(x / span[1], span[0] / x, 1.0) for x, span in ranges if span is not None]
    return max(factors) if factors else None


def _distance(beyond: float | None) -> str:
    if beyond is None:
        return "range not known"
    return "within" if beyond <= 1 else f"{beyond:.3g} times beyond"


def _spread(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return max(known) / min(known)


def _disagreements(rules: tuple[Rule, ...]) -> list[str]:
    rates = {rule.name: rule.lr for rule in rules if rule.lr is not None}
    batches = {rule.name: rule.batch_tokens for rule in rules if rule.batch_tokens is not None}
    step = np.array(find_law("rate_by_size_and_tokens").published[0].params)
    apart = 10 ** abs(step[2] - BJORCK[1])
    return [
        f"the rate: {_ends(rates)}",
        f"the batch: {_ends(batches)}",
        f"with the tokens the best rate rises by Step Law (D^{step[2]:.3g}, the batch growing with D) and "
        f"falls by Bjorck et al. (D^{BJORCK[1]:.3g}, at one batch) and Delphi (D^{DELPHI:.3g}): over ten "
        f"times the tokens they come to differ {apart:.2g}-fold, so tune the rate at two horizons",
    ]


def _ends(values: dict[str, float]) -> str:
    low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    ratio = values[high] / values[low]
    return f"{brief(values[low])} ({low}) to {brief(values[high])} ({high}), a factor of {ratio:.2g}"


def _assumptions(rules: tuple[Rule, ...], no_body: bool) -> list[str]:
    said = []
    if no_body:
        said.append("rules that count the blocks alone, and FLOPs, have N in their place: give the body")
    far = [rule for rule in rules if rule.beyond is not None and rule.beyond > FURTHER]
    if far:
        names = ", ".join(f"{rule.name} by {rule.beyond:.2g}" for rule in far)
        said.append(f"beyond the runs of {names}")
    return said
