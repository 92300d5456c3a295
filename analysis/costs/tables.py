"""A forecast as tables: of text, of Markdown, of a notebook."""

from __future__ import annotations

from collections.abc import Iterator

from isoflop.analysis.costs.architectures.model_shape import ModelShape
from isoflop.analysis.costs.estimate import SPREAD, Estimate
from isoflop.analysis.costs.forecast import CostForecast
from isoflop.analysis.costs.hardware.device import Device
from isoflop.analysis.costs.recommended import Recommended
from isoflop.analysis.costs.serving import Serving, ServingPoint
from isoflop.analysis.costs.sizing import Sizing
from isoflop.analysis.costs.training import TrainingForecast
from isoflop.analysis.options import COUNTS
from isoflop.base.display import Summary
from isoflop.base.formatting import brief, interval, short

SHORT_PROMPT = 0.01
"""Seconds of a prefill below which what is not forecast is the larger part: performance.md of
NVIDIA/TensorRT-LLM @ 138f96d has 7 ms for 128 tokens of a 7B model in fp8 on an H100, and 36 ms for 2,048."""


def tables(found: CostForecast) -> Iterator[Summary]:
    """The parts that were asked for, one table or more each."""
    yield _model(found)
    if found.training is not None:
        yield _training(found.training)
        yield _training_memory(found.training)
    if found.serving is not None:
        yield _memory(found.serving)
        yield _prompts(found.serving)
        yield _batches(found.serving, found.device)
    if found.sizing is not None:
        yield _sizing(found.sizing)
    if found.recommended is not None and found.recommended.run.level is not None:
        yield _carried(found.recommended)


def headline(found: CostForecast) -> Summary:
    """What is shown of a forecast at a glance."""
    rows = []
    if found.training is not None:
        training = found.training
        rows.append(("training, hours", f"{training.devices} devices", _spread(training.hours)))
        if training.money is not None:
            rows.append(("training, money", "", _spread(training.money)))
    for point in found.serving.points if found.serving else ():
        where = f"prompt {point.prompt}, batch {point.batch}"
        rows.append(
            (
                "TPOT, ms; tokens/s",
                where,
                f"{_spread(point.tpot.then(_milli))}; {_spread(point.tokens_per_second)}",
            )
        )
    return Summary(f"Forecast: {found.model.name} on {found.device.title}", (), rows, found.warnings)


def _model(found: CostForecast) -> Summary:
    model, device, law = found.model, found.device, found.recommended
    rows = [
        ("parameters", f"{short(model.n_params)} ({model.n_params:,.0f})"),
        ("shape", _shape(model.shape)),
        ("shape from", model.origin),
        ("device", _device(device)),
    ]
    if law is not None:
        run = law.run
        at = f"{brief(run.n)} parameters {interval(run.n_interval)}".rstrip() + f" ({COUNTS[run.count]})"
        rows.insert(0, ("law", f"{run.law} at {brief(run.flops)} FLOPs: {at}"))
    return Summary(f"{model.name} on {device.title}", ("what", "value"), rows)


def _shape(shape: ModelShape) -> str:
    kind = {1: "MQA", shape.heads: "MHA"}.get(shape.kv_heads, "GQA")
    experts = f", {shape.experts_per_token} of {shape.experts} experts" if shape.experts > 1 else ""
    return (
        f"{shape.layers} layers, width {shape.width}, {shape.heads} heads of {shape.head_dim}, "
        f"{shape.kv_heads} of keys and values ({kind}), feed-forward {shape.ff_width}{experts}, vocabulary "
        f"{shape.vocab}"
    )


def _device(device: Device) -> str:
    peaks = ", ".join(f"{name} {peak:g}" for name, peak in device.dense_teraflops.items())
    watts = f", {device.watts:g} W" if device.watts else ""
    return (
        f"{device.gigabytes_per_second:g} GB/s, {device.memory_bytes / 1e9:.1f} GB ({device.memory}){watts}; "
        f"dense TFLOP/s: {peaks}"
    )


def _training(training: TrainingForecast) -> Summary:
    rows = [("hours", *_ends(training.hours)), ("device-hours", *_ends(training.device_hours))]
    if training.money is not None:
        rows.append(("money", *_ends(training.money)))
    if training.kwh is not None:
        rows.append(("kWh", *_ends(training.kwh)))
    low, high = training.utilization
    flops = training.flops
    attention = flops.attention / flops.products
    again = f"recomputation {flops.recomputation:.3g}" if training.recomputes else "no recomputation"
    notes = [
        f"hours by {flops.counted:.3g} FLOPs at {low:g}{f' to {high:g}' if high > low else ''} of peak; 6ND "
        f"is {flops.six_nd:.3g}",
        f"executed: products {flops.products:.3g}, attention {flops.attention:.3g} ({attention:.0%} on top), "
        f"{again}: {training.hardware_utilization:.0%} of peak in all",
    ]
    title = f"Training on {short(training.tokens)} tokens, {_devices(training.devices)}"
    if training.devices == training.fewest_devices:
        title += ", the fewest that hold it"
    return Summary(title, ("", "roofline", "expected", "range"), rows, notes)


def _training_memory(training: TrainingForecast) -> Summary:
    memory = training.memory
    parts = {
        "weights": memory.weights,
        "gradients": memory.gradients,
        "master weights": memory.master,
        "moments": memory.moments,
        "activations, recomputed" if training.recomputes else "activations": memory.activations,
        "logits": memory.logits,
        "a layer, gathered": memory.gathered,
        "in all": memory.needed,
        "available": memory.available,
    }
    return Summary(
        "Memory of each device in training, fully sharded (ZeRO-3, FSDP)",
        ("what", "GB"),
        [(name, f"{size / 1e9:.3g}") for name, size in parts.items() if size],
    )


def _memory(serving: Serving) -> Summary:
    rows = [
        ("weights", serving.weights, f"{serving.weight_bytes / 1e9:.4g} GB"),
        ("KV cache", serving.kv, f"{serving.kv_bytes_per_token:,.0f} bytes a token"),
        ("rule M = P Z 1.2", "", f"{serving.rule_of_thumb_bytes / 1e9:.4g} GB"),
        ("available", _devices(serving.devices), f"{serving.available_bytes / 1e9:.4g} GB"),
        ("critical batch", f"products in {serving.compute}", f"{serving.critical_batch:.0f} tokens a step"),
    ]
    return Summary(f"Memory in serving, {_devices(serving.devices)}", ("what", "of", "value"), rows)


def _prompts(serving: Serving) -> Summary:
    first = {point.prompt: point for point in reversed(serving.points)}
    rows = [
        (
            f"{prompt:,}",
            f"{(prompt + serving.output) * serving.kv_bytes_per_token / 1e9:.3g}",
            f"{serving.largest_batch[prompt]:,}",
            f"{_digits(first[prompt].ttft.roofline * 1000)}",
            _spread(first[prompt].ttft.then(_milli)),
        )
        for prompt in serving.largest_batch
    ]
    columns = (
        "prompt",
        "KV cache GB a request",
        "requests that fit",
        "TTFT ms, roofline",
        "TTFT ms, expected",
    )
    notes = ["TTFT of a prompt alone on the devices: queueing comes on top"]
    if min(point.ttft.expected for point in serving.points) < SHORT_PROMPT:
        notes.append(
            "a few milliseconds of scheduling and launching kernels are left out: they rule short ones"
        )
    return Summary(f"Prompts, with {serving.output} tokens of output", columns, rows, notes)


def _batches(serving: Serving, device: Device) -> Summary:
    several = len(serving.largest_batch) > 1
    priced = any(point.cost_per_million is not None for point in serving.points)
    powered = any(point.joules_per_token is not None for point in serving.points)
    columns = ("batch", "step ms, roofline", "TPOT ms, roofline", "TPOT ms, expected", "tokens/s, expected")
    columns = (*["prompt"] * several, *columns, *["money/1M tokens"] * priced, *["J/token"] * powered)
    rows = [(*[f"{point.prompt:,}"] * several, *_point(point, priced, powered)) for point in serving.points]
    notes = [
        f"expected [range]: {SPREAD:.0%} either way, as close as real servers come to any model of them, and "
        "never past the roofline",
        "TPOT = (total - TTFT) / (tokens - 1): the step, and the pauses while prompts of other requests are "
        "prefilled on the same devices; money and joules of output tokens include their prompts",
        *([_sharding(device)] if serving.devices > 1 else []),
    ]
    return Summary(f"Batches, {_devices(serving.devices)}", columns, rows, notes)


def _sharding(device: Device) -> str:
    link = device.link_gigabytes_per_second
    if link is None:
        return (
            "sharding is ideal: what the devices send each other is left out, for want of their link's rate"
        )
    return (
        "sharding is ideal at the roofline; expected adds two sums over devices a layer, at "
        f"{link:g} GB/s each way"
    )


def _point(point: ServingPoint, priced: bool, powered: bool) -> tuple[str, ...]:
    cells = [
        f"{point.batch:,}",
        _digits(point.step.roofline * 1000),
        _digits(point.tpot.roofline * 1000),
        _spread(point.tpot.then(_milli)),
        _spread(point.tokens_per_second),
    ]
    if priced and point.cost_per_million is not None:
        cells.append(_spread(point.cost_per_million))
    if powered and point.joules_per_token is not None:
        cells.append(_spread(point.joules_per_token))
    return tuple(cells)


def _sizing(sizing: Sizing) -> Summary:
    targets = {
        "output tokens a second": sizing.rate,
        "TTFT at most, s": sizing.max_ttft,
        "TPOT at most, s": sizing.max_tpot,
    }
    asked = ", ".join(f"{name} {value:g}" for name, value in targets.items() if value is not None)
    rows = []
    for basis, fleet in sizing.fleets.items():
        if fleet is None:
            rows.append((basis, "none", "", "", "", "", "", ""))
            continue
        rows.append(
            (
                basis,
                f"{fleet.devices:,}",
                f"{fleet.replicas:,} x {fleet.tensor_parallel}",
                str(fleet.batch),
                _digits(fleet.ttft * 1000),
                _digits(fleet.tpot * 1000),
                _digits(fleet.tokens_per_second),
                _number(fleet.cost_per_million),
            )
        )
    columns = (
        "times",
        "devices",
        "replicas x shards",
        "batch",
        "TTFT ms",
        "TPOT ms",
        "tokens/s",
        "money/1M tokens",
    )
    notes = [
        "copies on 1, 2, 4, ... devices: at the roofline none does with fewer; safe: at the slow end of the "
        "range"
    ]
    title = f"Fewest devices: {asked}, prompts of {sizing.prompt} tokens with {sizing.output} of output"
    return Summary(title, columns, rows, notes)


def _carried(law: Recommended) -> Summary:
    rows = [
        (name, _digits(each.value), interval((each.low, each.high), _digits))
        for name, each in law.quantities.items()
    ]
    level = f"{law.run.level:.0%} " if law.run.level else ""
    of = ", the law's form included" if law.run.form_included else ""
    at = "" if law.batch is None else f", batch {law.batch}"
    notes = [f"serving as expected, on the same devices{at}"] if "weights, bytes" in law.quantities else []
    if law.run.flops_interval is None:
        notes.append("what training takes is the budget's: the size does not move it")
    return Summary(f"{level}intervals, by that of N{of}", ("", "value", "interval"), rows, notes)


def _devices(count: int) -> str:
    return f"{count:,} device{'' if count == 1 else 's'}"


def _number(value: float | None) -> str:
    return "-" if value is None else _digits(value)


def _digits(x: float) -> str:
    """Three significant digits, none of them an exponent's where whole numbers will do."""
    return f"{float(f'{x:.3g}'):,.0f}" if 1e3 <= abs(x) < 1e9 else f"{x:.3g}"


def _ends(estimate: Estimate) -> tuple[str, str, str]:
    between = f"{_digits(estimate.low)} to {_digits(estimate.high)}"
    return _digits(estimate.roofline), _digits(estimate.expected), between


def _spread(estimate: Estimate) -> str:
    return f"{_digits(estimate.expected)} [{_digits(estimate.low)}, {_digits(estimate.high)}]"


def _milli(seconds: float) -> float:
    return seconds * 1000
