"""The inverse: the fewest devices for a rate, a time to the first token and a time per token."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from isoflop.analysis.costs.architectures.model_shape import ForecastModel
from isoflop.analysis.costs.estimate import Estimate
from isoflop.analysis.costs.hardware.device import Device
from isoflop.analysis.costs.options import ForecastOptions
from isoflop.analysis.costs.serving import (
    Replica,
    ServingPoint,
    check_fits,
    cost_per_million,
    most_devices,
    serving_point,
)
from isoflop.analysis.costs.training import gigabytes
from isoflop.base.errors import UserError
from isoflop.base.json_values import Serializable

BASES: dict[str, Callable[[Estimate], float]] = {
    "roofline": lambda time: time.roofline,
    "expected": lambda time: time.expected,
    "safe": lambda time: time.high,
}
"""What a time is taken to be: at the roofline no sharding does with fewer devices; `safe` is the slow end of
the range."""
UNBOUND_BATCH = 65_536
"""The largest batch that is tried."""


@dataclass(frozen=True)
class Fleet:
    """The fewest devices that meet the targets, by one basis. Times in seconds, rates in tokens a second."""

    basis: str
    devices: int
    replicas: int
    tensor_parallel: int
    batch: int
    """Requests in flight in each replica: the fewest that have the rate, without one the most."""
    ttft: float
    tpot: float
    tokens_per_second: float
    """Of all replicas, with each at that batch."""
    cost_per_million: float | None


@dataclass(frozen=True)
class Sizing(Serializable):
    """The targets, and the fewest devices by each basis; None where no arrangement meets them by it."""

    prompt: int
    output: int
    rate: float | None
    max_ttft: float | None
    max_tpot: float | None
    fleets: dict[str, Fleet | None]
    refusals: dict[str, str]
    """Why not, by basis."""


def size_fleet(model: ForecastModel, device: Device, options: ForecastOptions) -> Sizing | None:
    """The fewest devices for the targets; None where there are none.

    Raises `UserError`, with the arithmetic, for targets that cannot be met even at the roofline.
    """
    if not options.targets:
        return None
    prompt, *further = options.prompt
    if further:
        raise UserError(
            "--rate, --max-ttft and --max-tpot are for one --prompt: give its longest or its mean"
        )
    fleets: dict[str, Fleet | None] = {}
    refusals: dict[str, str] = {}
    for basis in BASES:
        try:
            fleets[basis] = _fewest(model, device, options, basis)
        except UserError as error:
            fleets[basis], refusals[basis] = None, str(error)
    if fleets["roofline"] is None:
        raise UserError(refusals["roofline"])
    return Sizing(
        prompt=prompt,
        output=options.output,
        rate=options.rate,
        max_ttft=options.max_ttft,
        max_tpot=options.max_tpot,
        fleets=fleets,
        refusals=refusals,
    )


def _fewest(model: ForecastModel, device: Device, options: ForecastOptions, basis: str) -> Fleet:
    """Of all shardings, the one with the fewest devices; of those the fastest for a user, or without a rate
    the one that gives most."""
    replicas, of = list(_replicas(model, device, options)), BASES[basis]
    batches = [_largest_batch(replica, options, of) for replica in replicas]
    found = [_fleet(r, batch, options, basis) for r, batch in zip(replicas, batches, strict=True) if batch]
    if not found:
        raise UserError(_why_not(min(replicas, key=lambda r: _excess(r, options, of)), options, of))
    if options.rate is None:
        return min(found, key=lambda fleet: (fleet.devices, -fleet.tokens_per_second))
    return min(found, key=lambda fleet: (fleet.devices, fleet.tpot))


def _replicas(model: ForecastModel, device: Device, options: ForecastOptions) -> Iterator[Replica]:
    """One copy on 1, 2, 4, ... devices, or on as many as are asked for."""
    if options.tensor_parallel:
        yield Replica.of(model, device, options.tensor_parallel, options)
        return
    most = most_devices(device, options)
    for k in range(most.bit_length()):
        yield Replica.of(model, device, 2**k, options)


def _largest_batch(replica: Replica, options: ForecastOptions, of: Callable[[Estimate], float]) -> int:
    """The most requests in flight within memory and targets; 0 where one alone is too many. The rate rises
    with the batch, so that it takes the fewest replicas. Of what is asked for, --batch, only those count."""

    def meets(batch: int) -> bool:
        return _excess(replica, options, of, batch) <= 1

    held = min(replica.largest_batch(options.prompt[0] + options.output), UNBOUND_BATCH)
    if options.batch:
        return max((batch for batch in options.batch if batch <= held and meets(batch)), default=0)
    return _first(lambda batch: not meets(batch), 1, held + 1) - 1


def _first(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The first number from `low` on for which something holds that holds from there on; `high` for none
    below it."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _excess(
    replica: Replica, options: ForecastOptions, of: Callable[[Estimate], float], batch: int | None = None
) -> float:
    """The times over their targets, the worse one; infinity for a batch that does not fit. The smallest
    batch that may be asked for, unless it is said."""
    batch = batch or min(options.batch, default=1)
    if batch > replica.largest_batch(options.prompt[0] + options.output):
        return math.inf
    point = serving_point(replica, options.prompt[0], batch, options)
    targets = ((point.ttft, options.max_ttft), (point.tpot, options.max_tpot))
    return max((of(time) / most for time, most in targets if most is not None), default=0.0)


def _fleet(replica: Replica, most: int, options: ForecastOptions, basis: str) -> Fleet:
    """Replicas of at most so many requests each, as many as the rate takes; then each with as few as do."""
    of = BASES[basis]

    def point(batch: int) -> ServingPoint:
        return serving_point(replica, options.prompt[0], batch, options)

    def rate(batch: int) -> float:
        return batch * options.output / of(point(batch).turnover)

    replicas = 1 if options.rate is None else math.ceil(options.rate / rate(most))
    batch = most
    if options.rate is not None:
        each = options.rate / replicas
        asked = [size for size in options.batch if size <= most and rate(size) >= each]
        batch = min(asked, default=_first(lambda size: rate(size) >= each, 1, most))
    cost = None
    if options.price is not None:
        tokens = options.rate or rate(batch)
        cost = cost_per_million(options.price * replica.devices * replicas, tokens)
    return Fleet(
        basis=basis,
        devices=replicas * replica.devices,
        replicas=replicas,
        tensor_parallel=replica.devices,
        batch=batch,
        ttft=of(point(batch).ttft),
        tpot=of(point(batch).tpot),
        tokens_per_second=rate(batch) * replicas,
        cost_per_million=cost,
    )


def _why_not(replica: Replica, options: ForecastOptions, of: Callable[[Estimate], float]) -> str:
    """Why a sharding does not meet the targets, with the arithmetic."""
    prompt = options.prompt[0]
    context, batch = prompt + options.output, min(options.batch, default=1)
    try:
        check_fits(replica, context, batch, replica.largest_batch(context))
    except UserError as error:
        return str(error)
    point, device = serving_point(replica, prompt, batch, options), replica.device
    on = f"{replica.devices} x {device.title}"
    if options.max_ttft is not None and of(point.ttft) > options.max_ttft:
        model = replica.model
        flops = 2 * model.n_body * prompt + model.shape.attention_flops(prompt / 2) * prompt
        return (
            f"--max-ttft {options.max_ttft:g}: a prompt of {prompt} tokens is {flops:.3g} FLOPs, "
            f"{of(point.ttft):.3g} s on {on}: give a shorter --prompt, more --max-tensor-parallel, or a "
            "faster --device"
        )
    waiting = "" if batch == 1 else " with the pauses while other prompts are prefilled"
    read = replica.needed(batch, prompt + options.output / 2)
    return (
        f"--max-tpot {options.max_tpot:g}: at batch {batch} a step reads {gigabytes(read)}, which takes "
        f"{of(point.tpot):.3g} s a token on {on}{waiting}: use fewer bits (--weights), more "
        "--max-tensor-parallel, or a faster --device"
    )
