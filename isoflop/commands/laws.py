"""isoflop laws"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tyro

from isoflop.analysis.curves.laws import CurveLaw, find_curve_law, known_curve_laws, names_a_curve_law
from isoflop.analysis.curves.schedules import parse_schedule
from isoflop.analysis.laws import Law, find_law, known_laws
from isoflop.analysis.laws.law import FAMILIES, SEEN, Published
from isoflop.arguments import JsonFlag, parse
from isoflop.base.formatting import brief
from isoflop.commands.text_plot import text_plot
from isoflop.printing import print_result, wrapped_under


@dataclass(frozen=True)
class Laws:
    """The scaling laws by family; of one: its formula, source, constants, and what it needs and misses."""

    law: tyro.conf.Positional[str] = ""
    """A law's name, or a .py file of your own; all of them without one."""
    as_json: JsonFlag = False


def run(argv: list[str]) -> int:
    """Prints the list or the law."""
    arguments = parse(Laws, argv, "laws")
    if not arguments.law:
        laws = [*map(find_law, known_laws()), *map(find_curve_law, known_curve_laws())]
    else:
        laws = [(find_curve_law if names_a_curve_law(arguments.law) else find_law)(arguments.law)]
    lines = _one(laws[0]) if arguments.law else _all(laws)
    print_result(_Described(tuple(laws)), arguments.as_json, lines, soft_wrap=True)
    return 0


@dataclass(frozen=True)
class _Described:
    laws: tuple[Law | CurveLaw, ...]
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What each law says of itself, by name."""
        return {law.name: _described(law) for law in self.laws}


def _described(law: Law | CurveLaw) -> dict[str, Any]:
    names = ("family", "summary", "equation", "parameters", "source", "conventions", "needs", "blind_to")
    further = {}
    if isinstance(law, Law):
        covariates = {c.symbol: {"column": c.column, "meaning": c.meaning} for c in law.covariates}
        further = {"target": law.target, "covariates": covariates}
    return {
        **{name: getattr(law, name) for name in names},
        **further,
        "published": {each.name: _constants(law, each) for each in law.published},
    }


def _constants(law: Law | CurveLaw, published: Published) -> dict[str, Any]:
    return {
        "params": dict(zip(law.parameters, published.params, strict=True)),
        "source": published.source,
        "seen": SEEN[published.seen],
        "note": published.note or None,
    }


def _all(laws: list[Law | CurveLaw]) -> Iterator[str]:
    width = max(len(law.name) for law in laws)
    for family, title in FAMILIES.items():
        members = [law for law in laws if law.family == family]
        if not members:
            continue
        yield f"{family}: {title}"
        for law in members:
            yield f"  {law.name:<{width}}  {law.summary}"
    yield "isoflop laws NAME shows one; a name with constants, such as chinchilla:besiroglu, predicts"


def _one(law: Law | CurveLaw) -> Iterator[str]:
    yield f"{law.name}: {law.equation}"
    inputs = law.covariates if isinstance(law, Law) else ()
    told = {
        "what": law.summary,
        "source": law.source,
        "counted": law.conventions,
        "inputs": "; ".join(f"{c.symbol} ({c.column}): {c.meaning}" for c in inputs),
        "needs": law.needs,
        "misses": law.blind_to,
    }
    for title, text in told.items():
        if text:
            yield wrapped_under(f"  {title:<8}", text)
    for published in law.published:
        yield from _published_lines(law, published)
    if isinstance(law, CurveLaw):
        yield from _curves(law)
        return
    yield from _drawing(law)
    yield f"  isoflop fit RUNS --law {law.name}"
    if law.published:
        yield f"  isoflop predict {law.full_name(law.published[0])} {_example(law)}"


def _curves(law: CurveLaw) -> Iterator[str]:
    """A curve law's drawing, the loss along a cosine schedule by its first constants, and its commands."""
    from isoflop.analysis.curves.published import published_curve_fit  # here: --help needs no pandas

    for published in law.published[:1]:
        fit = published_curve_fit(f"{law.name}:{published.name}")
        if fit.fitted:
            steps, warm = fit.fitted.steps, fit.fitted.warmup_steps
            rates = parse_schedule("cosine", steps, fit.fitted.peak, warm, 0.1).rates()
            at = np.linspace(warm, steps - 1, 61).astype(int)
            yield f"  loss against steps, by {law.name}:{published.name} under a cosine schedule"
            yield from (f"  {line}" for line in text_plot(at.astype(float), fit.predict(rates, at)))
    yield f"  isoflop fit --curves PATHS --law {law.name}"
    for published in law.published[:1]:
        yield f"  isoflop predict {law.name}:{published.name} --schedule cosine"


def _example(law: Law) -> str:
    """Options that ask for a prediction of published constants."""
    if law.allocates and not law.published[0].unidentified:
        return "--flops 1e21"
    held = dict(law.drawn.at) | {law.drawn.x: law.drawn.low}
    options = {"N": "--n-params", "D": "--tokens", "C": "--flops"}
    given = [f"{options[symbol]} {value:.4g}" for symbol, value in held.items() if symbol in options]
    others = [f"{symbol}={value:.4g}" for symbol, value in held.items() if symbol not in options]
    return " ".join([*given, *(["--with", *others] if others else [])])


def _published_lines(law: Law | CurveLaw, published: Published) -> Iterator[str]:
    values = ", ".join(
        f"{name} {value:.6g}" for name, value in zip(law.parameters, published.params, strict=True)
    )
    yield f"  {law.name}:{published.name}"
    yield wrapped_under("    ", values)
    yield wrapped_under("    ", f"{published.source}; {SEEN[published.seen]}")
    if published.note:
        yield wrapped_under("    ", published.note)


def _drawing(law: Law) -> Iterator[str]:
    drawn = law.drawn
    params = drawn.params or next((each.params for each in law.published), None)
    if params is None:
        return
    held = ", ".join(f"{symbol} = {brief(value)}" for symbol, value in drawn.at)
    x, y = law.along(drawn, params)
    yield f"  {law.target} against {drawn.x}{f' at {held}' if held else ''}"
    yield from (f"  {line}" for line in text_plot(x, y))
