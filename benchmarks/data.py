"""Training windows: how fast they come, and how long a training loop waits for them.

    python -m benchmarks.data [--json] [--small]

A corpus of 8 MB of bytes, windows of 128 and of 1,024 tokens, 16 a step. `*_tokens_per_second`: chunks taken
as fast as they come, resident on the device, read ahead, read by the loop itself between its steps (the plain
way, and the peer here), or made up by a synthetic process. `*_wait_share`: the share of its time that a loop
waits for data whose steps take `step_ms` on an accelerator (the loop sleeps, and leaves the processor to the
readers). `ratio_*`: the time of a loop that reads for itself over that of ours.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.timing import demo_recipe, is_small, print_results
from isoflop.models import family
from isoflop.train.data import batches
from isoflop.train.data.batches import CHUNK, Chunk, chunks
from isoflop.train.data.corpus import Corpus, prepare
from isoflop.train.spec import Recipe

CONTEXTS = (128,) if is_small() else (128, 1024)
BATCH, STRETCHES = 16, 2 if is_small() else 12
STEP_MS = 4.0
TEXT_BYTES = 8_000_000
PROCESSES = ("zipf", "markov", "copy")


def main() -> None:
    """Times every way of coming by windows, at both contexts."""
    results: dict[str, Any] = {"step_ms": STEP_MS}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ISOFLOP_CACHE"] = folder
        corpus = prepare(f"text:{_text(Path(folder))}", "bytes")
        for context in CONTEXTS:
            results |= _of_text(corpus, context)
            for name in PROCESSES:
                way = _chunks(prepare(f"synthetic:{name}", "bytes"), context)
                results[f"{name}_{context}_tokens_per_second"] = _speed(way, context)
    print_results(results)


def _text(folder: Path) -> Path:
    path = folder / "words.txt"
    words = np.random.default_rng(0).choice([b"the ", b"a ", b"of ", b"law\n\n", b"scale "], TEXT_BYTES // 4)
    path.write_bytes(b"".join(words)[:TEXT_BYTES])
    return path


def _chunks(corpus: Corpus, context: int) -> Callable[[int], Iterator[Chunk]]:
    """The chunks of so many steps as a training loop gets them."""
    recipe = _recipe(context)
    return lambda steps: chunks(corpus, recipe.data_order, 0, steps)


def _recipe(context: int) -> Recipe:
    model = family(16, vocab_size=256, context_length=context)
    return replace(demo_recipe(16), model=model, batch_size=BATCH)


def _of_text(corpus: Corpus, context: int) -> dict[str, Any]:
    ways = {
        "resident": (1 << 30, _chunks(corpus, context)),
        "streamed": (0, _chunks(corpus, context)),
        "plain": (0, lambda steps: _plain(corpus, _recipe(context), steps)),
    }
    results: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    for name, (limit, way) in ways.items():
        batches.RESIDENT_BYTES = limit
        results[f"{name}_{context}_tokens_per_second"] = _speed(way, context)
        waited, seconds[name] = _loop(way)
        results[f"{name}_{context}_wait_share"] = waited / seconds[name]
    results[f"ratio_resident_{context}"] = seconds["plain"] / seconds["resident"]
    results[f"ratio_streamed_{context}"] = seconds["plain"] / seconds["streamed"]
    return results


def _plain(corpus: Corpus, recipe: Recipe, steps: int) -> Iterator[Chunk]:
    """Each chunk is read when it is asked for."""
    context = recipe.model.context_length
    rows = np.arange(CHUNK * BATCH, dtype=np.int32).reshape(CHUNK, BATCH)
    for start in range(0, steps, CHUNK):
        order = corpus.order(0, start, start + CHUNK, batch_size=BATCH, context=context)
        yield Chunk(start, start + CHUNK, corpus.on_device("train", context, order.ravel()), rows)


def _speed(way: Callable[[int], Iterator[Chunk]], context: int) -> float:
    """Tokens a second, windows on the device and nothing trained; a first pass compiles and opens files."""
    _exhaust(way(2 * CHUNK))
    began = time.perf_counter()
    _exhaust(way(STRETCHES * CHUNK))
    return STRETCHES * CHUNK * BATCH * context / (time.perf_counter() - began)


def _exhaust(found: Iterator[Chunk]) -> None:
    for chunk in found:
        jax.block_until_ready(chunk.windows)


def _loop(way: Callable[[int], Iterator[Chunk]]) -> tuple[float, float]:
    """Seconds waited for data, and in all, by a loop of STEP_MS a step; its first stretch is not counted."""
    found = way((STRETCHES + 1) * CHUNK)
    next(found)
    waited, began = 0.0, time.perf_counter()
    for _ in range(STRETCHES):
        time.sleep(CHUNK * STEP_MS / 1000)
        asked = time.perf_counter()
        jax.block_until_ready(next(found).windows)
        waited += time.perf_counter() - asked
    return waited, time.perf_counter() - began


if __name__ == "__main__":
    main()
