"""isoflop downstream"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import tyro

from isoflop import analysis
from isoflop.analysis.laws import known_laws
from isoflop.arguments import Flag, JsonFlag, parse
from isoflop.base.display import Summary
from isoflop.base.errors import UserError
from isoflop.base.formatting import brief, interval
from isoflop.commands.jax_setup import set_up_jax
from isoflop.printing import print_result

if TYPE_CHECKING:
    from isoflop.analysis.downstream.two_step import TaskForecast, TwoStep
    from isoflop.analysis.test_time.exchange import Exchange


@dataclass(frozen=True)
class Downstream:
    """What a task scores at a compute budget, in two steps: a law of the loss, then a law of the score in the
    loss. With --samples also how much training so many samples a query replace."""

    loss: tyro.conf.Positional[str]
    """The first step: a fit.json, a folder that holds one, or published constants (chinchilla:besiroglu)."""
    score: tyro.conf.Positional[str]
    """The second: a fit of an accuracy or error in the same loss, by bhagia, flp or gadre_error, or published
    constants."""
    flops: float | None = None
    """Training FLOPs, split between size and tokens as the first step says."""
    n_params: float | None = None
    """Parameters of a run of one's own, with --tokens, in place of --flops."""
    tokens: float | None = None
    """Its training tokens."""
    samples: int | None = None
    """Samples of each query, of which a perfect verifier finds a right one."""
    beta: float | None = None
    """The exponent of coverage in the number of samples, as isoflop coverage finds it."""
    tokens_per_sample: float = 1000.0
    """Prompt and answer of a sample."""
    markdown: Flag = False
    """Print tables in Markdown, to paste into a paper or an issue."""
    as_json: JsonFlag = False


@dataclass(frozen=True)
class _Answer:
    """A task's score, where it emerges, and what samples replace."""

    forecast: TaskForecast
    emergence: tuple[float, Any] | None
    exchange: Exchange | None

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.forecast.warnings

    @property
    def notes(self) -> tuple[str, ...]:
        return self.forecast.notes

    def to_json(self) -> dict[str, Any]:
        """The forecast's object; the rest under `emergence` and `exchange`."""
        emergence = (
            None
            if self.emergence is None
            else {"flops": _number(self.emergence[0]), "interval": self.emergence[1]}
        )
        exchange = None if self.exchange is None else self.exchange.to_json()
        return self.forecast.to_json() | {"emergence": emergence, "exchange": exchange}


def run(argv: list[str]) -> int:
    """Prints the score, the threshold where the second step has one, and the exchange."""
    asked = parse(Downstream, argv, "downstream")
    if (asked.samples is None) != (asked.beta is None):
        raise UserError("--samples and --beta go together: isoflop coverage finds the exponent beta")
    law = analysis.two_step(asked.loss, asked.score)
    if not {law.loss.law, law.score.law} <= {*known_laws()}:
        set_up_jax()  # a law of one's own may be written in JAX alone
    answer = _Answer(
        forecast=law.predict(asked.flops, n_params=asked.n_params, tokens=asked.tokens),
        emergence=law.emergence() if law.has_threshold else None,
        exchange=_exchange(law, asked),
    )
    tables = [*_tables(answer)]
    lines = [table.markdown() + "\n" if asked.markdown else table.text() + "\n" for table in tables]
    print_result(answer, asked.as_json, lines, soft_wrap=True)
    return 0


def _exchange(law: TwoStep, asked: Downstream) -> Exchange | None:
    if asked.samples is None or asked.beta is None:
        return None
    if asked.flops is None:
        raise UserError("--samples is of a compute-optimal model: give --flops")
    from isoflop.analysis.test_time.exchange import exchange

    return exchange(
        law, asked.flops, asked.samples, beta=asked.beta, tokens_per_sample=asked.tokens_per_sample
    )


def _tables(answer: _Answer) -> Iterator[Summary]:
    yield replace(answer.forecast.summary(), notes=())
    if answer.emergence is not None:
        flops, span = answer.emergence
        yield Summary(f"emergence: the loss reaches L* at {brief(flops)} FLOPs {interval(span)}")
    if answer.exchange is not None:
        yield answer.exchange.summary()


def _number(x: float) -> float | None:
    return x if x == x else None
