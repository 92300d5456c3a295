"""isoflop predict"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from isoflop import analysis
from isoflop.analysis.curves.laws import names_a_curve_law
from isoflop.analysis.laws import find_law, known_laws
from isoflop.arguments import Flag, JsonFlag, parse
from isoflop.base.errors import UserError
from isoflop.commands.jax_setup import set_up_jax
from isoflop.commands.law_inputs import given_inputs
from isoflop.commands.predict_text import comparison, planned, predicted, trained
from isoflop.printing import print_result

if TYPE_CHECKING:
    from isoflop.analysis.planning.evaluation import LawValue
    from isoflop.analysis.planning.hyperparameters import Hyperparameters
    from isoflop.analysis.planning.planned_run import PlannedRun
    from isoflop.analysis.planning.prediction import Prediction
    from isoflop.analysis.planning.side_by_side import LawAnswer
    from isoflop.analysis.result import LawFit
    from isoflop.base.display import Summary
    from isoflop.sweeps.forecasts.rung import Rung

MOST_ROWS = 40
"""Of a table on a terminal."""


@dataclass(frozen=True)
class Predict:
    """What to train, and the loss to expect: at a budget, for a loss, or of a given size or tokens.

    One of --flops, --loss, --n-params and --tokens asks for the compute-optimal run that has it; two of them
    for the run that they determine.
    """

    fit: tyro.conf.Positional[str]
    """A fit.json or its folder, or constants such as chinchilla:besiroglu."""
    flops: float | None = None
    """Training FLOPs."""
    loss: float | None = None
    """The loss to reach, in the fit's unit: the least compute for it."""
    n_params: float | None = None
    """Parameters, counted as the fit counts them."""
    tokens: float | None = None
    """Training tokens."""
    group: str | None = None
    """Which group's law, of a fit with shared parameters (--share)."""
    inference_tokens: float | None = None
    """Tokens to be served: also the cheapest model over training and use (Sardana et al. 2024)."""
    unique_tokens: float | None = None
    """Distinct tokens there are: also how often to repeat them (Muennighoff et al. 2023)."""
    with_: Annotated[tuple[str, ...], tyro.conf.arg(name="with")] = ()
    """Values of what the law needs besides N and D, by symbol: --with G=8 E=64 (isoflop laws NAME has them).
    The law is then evaluated, with --flops alone at the best N and D; so is one that allocates no budget."""
    compare: Flag = False
    """The same question under every published law too."""
    hyperparameters: Flag = False
    """Learning rate and batch for the answer's N and D, by every published rule."""
    force: Flag = False
    """Extrapolate even from a fit that is not certified or not identified."""
    config: Flag = False
    """Also the model to train at that budget, as the fit's sweep would train it: shape, tokens, batch, rate,
    memory, time, and the command. The fit lies in a sweep's folder."""
    markdown: Flag = False
    """Print tables in Markdown, to paste into a paper or an issue."""
    as_json: JsonFlag = False


@dataclass(frozen=True)
class _Answer:
    """A prediction or a planned run, and what was asked for with it."""

    found: Prediction | PlannedRun | LawValue
    rung: Rung | None = None
    laws: tuple[LawAnswer, ...] = ()
    rules: Hyperparameters | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*self.found.warnings, *(self.rules.warnings if self.rules else ()))

    @property
    def notes(self) -> tuple[str, ...]:
        return self.found.notes

    def to_json(self) -> dict[str, Any]:
        """The prediction's object; the rest under `config`, `compare` and `hyperparameters`."""
        from isoflop.base.json_values import to_json

        rest = {
            "config": None if self.rung is None else self.rung.to_json(),
            "compare": [to_json(each) for each in self.laws] or None,
            "hyperparameters": None if self.rules is None else self.rules.to_json(),
        }
        return self.found.to_json() | {name: value for name, value in rest.items() if value is not None}


def run(argv: list[str]) -> int:
    """Prints the prediction."""
    options = [word.partition("=")[0] for word in argv if word.startswith("--")]
    if "--schedule" in options:
        from isoflop.commands import predict_schedule  # of a law of loss curves

        for option in {"--flops", "--loss", "--n-params", "--tokens"} & {*options}:
            raise UserError(
                f"{option} with --schedule: a law of loss curves says where a schedule ends, one of runs "
                "what a budget buys; ask for one of the two"
            )
        return predict_schedule.run(argv)
    arguments = parse(Predict, argv, "predict")
    if names_a_curve_law(arguments.fit) and not Path(arguments.fit).exists():
        raise UserError(
            f"{arguments.fit} is a law of loss curves: it says where a schedule of learning rates ends; give "
            "--schedule, such as cosine, alone"
        )
    from isoflop.analysis.inputs import as_fit  # here: --help needs no pandas

    fit = as_fit(arguments.fit)
    if fit.law not in known_laws():
        set_up_jax()  # a law of one's own may be written in JAX alone
    if fit.law and (arguments.with_ or not find_law(fit.law).allocates):
        answer = _Answer(_value(arguments, fit))
    else:
        found = _found(arguments)
        answer = _Answer(found, _rung(arguments, found), _laws(arguments, fit), _rules(arguments, found))
    tables = [*_tables(answer)]
    lines = [table.markdown() + "\n" if arguments.markdown else table.text(MOST_ROWS) for table in tables]
    print_result(answer, arguments.as_json, lines, soft_wrap=True)
    return 0


def _found(arguments: Predict) -> Prediction | PlannedRun:
    asked = {name: getattr(arguments, name) for name in ("flops", "loss", "n_params", "tokens")}
    options: dict[str, Any] = {"force": arguments.force, "group": arguments.group}
    if sum(value is not None for value in asked.values()) < 2:
        limits = (arguments.inference_tokens, arguments.unique_tokens)
        return analysis.predict(
            arguments.fit, inference_tokens=limits[0], unique_tokens=limits[1], **asked, **options
        )
    if arguments.inference_tokens is not None or arguments.unique_tokens is not None:
        raise UserError(
            "--inference-tokens and --unique-tokens are of a compute-optimal run: give one quantity, such as "
            "--flops"
        )
    return analysis.planned_run(arguments.fit, **asked, **options)


def _tables(answer: _Answer) -> Iterator[Summary]:
    from isoflop.analysis.planning.planned_run import PlannedRun
    from isoflop.analysis.planning.prediction import Prediction

    found = answer.found
    if isinstance(found, Prediction):
        yield from predicted(found)
    elif isinstance(found, PlannedRun):
        yield from planned(found)
    else:
        yield replace(found.summary(), notes=())
    if answer.rung is not None and isinstance(found, Prediction):
        yield from trained(answer.rung, found)
    if answer.laws:
        yield from comparison(answer.laws)
    if answer.rules:
        yield replace(answer.rules.summary(), notes=())


def _rung(arguments: Predict, found: Prediction | PlannedRun) -> Rung | None:
    if not arguments.config:
        return None
    from isoflop.analysis.planning.planned_run import PlannedRun
    from isoflop.analysis.sources.measured import place_of
    from isoflop.sweeps.forecasts.rung import rung_at

    if isinstance(found, PlannedRun):
        raise UserError("--config is of a compute-optimal run: give one quantity, such as --flops")
    path = place_of(arguments.fit)
    if not path.exists():
        raise UserError(f"--config: {arguments.fit} are published constants; give a fit in a sweep's folder")
    return rung_at(path if path.is_dir() else path.parent, found.flops, found.n_opt, found.conventions.count)


def _laws(arguments: Predict, fit: LawFit) -> tuple[LawAnswer, ...]:
    if not arguments.compare:
        return ()
    from isoflop.analysis.planning.question import Question
    from isoflop.analysis.planning.side_by_side import side_by_side

    question = Question(arguments.flops, arguments.loss, arguments.n_params, arguments.tokens)
    chosen = fit if arguments.group is None else fit.group(arguments.group)
    return side_by_side(chosen, arguments.fit, question)


def _rules(arguments: Predict, found: Prediction | PlannedRun) -> Hyperparameters | None:
    if not arguments.hyperparameters:
        return None
    from isoflop.analysis.planning.hyperparameters import hyperparameters
    from isoflop.analysis.planning.prediction import Prediction

    N, D = (found.n_opt, found.d_opt) if isinstance(found, Prediction) else (found.n, found.d)
    return hyperparameters(N, D, body=N if found.conventions.count == "body" else None)


def _value(arguments: Predict, fit: LawFit) -> LawValue:
    from isoflop.analysis.planning.evaluation import evaluated

    for option in ("loss", "inference_tokens", "unique_tokens", "compare", "hyperparameters", "config"):
        if getattr(arguments, option):
            why = "with --with" if arguments.with_ else "since it allocates no budget"
            raise UserError(
                f"--{option.replace('_', '-')}: {fit.law} is only evaluated, {why}: give --flops, --n-params "
                "or --tokens"
            )
    chosen = fit if arguments.group is None else fit.group(arguments.group)
    given = given_inputs(arguments.with_)
    return evaluated(chosen, arguments.n_params, arguments.tokens, arguments.flops, given)
