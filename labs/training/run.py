"""One run: steps and evaluations on a clock that start-up and compilation are not on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np

from isoflop.labs.backends.backend import TIMEOUT, Outcome
from isoflop.labs.contract.rules import Windows
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.pricing import Price
from isoflop.labs.training.programs import learning_rates, programs, weight_decay
from isoflop.train.data.batches import CHUNK, Chunk, DataOrder, chunks
from isoflop.train.data.corpus import Corpus
from isoflop.train.step import EVAL_BATCH, TrainState

DATA_SEED = 0
"""One order of the data for everybody: a config's seed moves its initialization alone."""

DIVERGED = "diverged: the loss became NaN or infinite"


@dataclass
class Clock:
    """What a run has used so far, in the lab's unit: measured seconds, or with a `price` the ledger's."""

    price: Price | None
    used: float = 0.0

    def time(self, work: Callable[[], float], *, steps: int = 0, evaluations: int = 0) -> float:
        """What `work` returns, a number off the device, so that it is waited for; its time is added."""
        began = time.perf_counter()
        found = work()
        if self.price is None:
            self.used += time.perf_counter() - began
        else:
            self.used += steps * self.price.step_seconds + evaluations * self.price.evaluation_seconds
        return found


class Run:
    """A config in training. `limit`: what it may use before it is stopped; `price`: see `Clock`."""

    def __init__(
        self, config: TrainingConfig, corpus: Corpus, windows: Windows, limit: float, price: Price | None
    ) -> None:
        self.config, self.corpus, self.limit = config, corpus, limit
        self.order = DataOrder(config.train_batch_size, windows.context_length, DATA_SEED)
        self.n_steps = config.total_train_tokens // (config.train_batch_size * windows.context_length)
        self.rates = learning_rates(config.optimizer_config.lr_scheduler, self.n_steps)
        self.decay = weight_decay(config.optimizer_config)
        self.programs = programs(config, windows.context_length)
        self.heldout = heldout_batches(corpus, windows)
        self.n_heldout = windows.n_val_tokens // windows.context_length
        self.clock = Clock(price)
        self.step_seconds: float | None = None
        self.state = self._start()

    def outcome(self, report: Callable[[tuple[float, ...]], None]) -> Outcome:
        """Trains to the end, or to where it is stopped; `report` is called after each evaluation."""
        losses: tuple[float, ...] = ()
        for start, stop in self._intervals():
            if failure := self.advance(start, stop):
                return Outcome(self.clock.used, losses, failure)
            loss = self.clock.time(self.evaluate, evaluations=1)
            if self.clock.used > self.limit:
                return Outcome(self.clock.used, losses, TIMEOUT)
            if not np.isfinite(loss):
                return Outcome(self.clock.used, losses, DIVERGED)
            losses += (loss,)
            report(losses)
        return Outcome(self.clock.used, losses)

    def _intervals(self) -> Iterator[tuple[int, int]]:
        """The steps before each evaluation."""
        between = self.n_steps // self.config.n_evals
        yield from ((i * between, (i + 1) * between) for i in range(self.config.n_evals))

    def _start(self) -> TrainState:
        """The initial state, with everything compiled: no step is taken, and nothing is on the clock."""
        chunk = next(iter(chunks(self.corpus, self.order, 0, 1)))
        state = self.programs.init(np.uint32(self.config.model_seed % 2**32))
        state, _ = self.programs.train(state, chunk.windows, chunk.rows, self._rates(0, 0), self.decay, 0)
        scores = self.programs.evaluate(state.params, self.heldout[0])
        jax.block_until_ready((state, scores))
        return state

    def advance(self, start: int, stop: int) -> str | None:
        """Takes steps `start` to `stop`; what stopped it, if anything did."""
        for chunk in chunks(self.corpus, self.order, start, stop):
            done = chunk.start
            while done < chunk.stop:
                steps = min(chunk.stop - done, self._affordable_steps())
                before = self.clock.used
                loss = self.clock.time(partial(self._steps, chunk, done, steps), steps=steps)
                self.step_seconds = (self.clock.used - before) / steps
                done += steps
                if not np.isfinite(loss):
                    return DIVERGED
                if self.clock.used > self.limit:
                    return TIMEOUT
        return None

    def _affordable_steps(self) -> int:
        """Steps until the limit at the latest pace, so that a run is stopped at the step that passes it."""
        if self.step_seconds is None:
            return 1
        return max(1, int(min(CHUNK, (self.limit - self.clock.used) / max(self.step_seconds, 1e-9))))

    def _steps(self, chunk: Chunk, start: int, steps: int) -> float:
        """The largest loss of `steps` steps of a chunk from step `start` on; NaN where one of them was."""
        rows = np.roll(chunk.rows, chunk.start - start, axis=0)
        self.state, metrics = self.programs.train(
            self.state, chunk.windows, rows, self._rates(start, start + steps), self.decay, steps
        )
        return float(np.max(np.asarray(metrics["loss"])[:steps]))

    def _rates(self, start: int, stop: int) -> np.ndarray:
        rates = np.zeros(CHUNK, np.float32)
        rates[: stop - start] = self.rates[start:stop]
        return rates

    def evaluate(self) -> float:
        """The held-out loss, nats per token: the mean over all held-out windows."""
        scores = [self.programs.evaluate(self.state.params, batch).loss for batch in self.heldout]
        losses = np.concatenate([np.asarray(loss, np.float64) for loss in scores])
        return float(np.mean(losses[: self.n_heldout]))


def heldout_batches(corpus: Corpus, windows: Windows) -> list[np.ndarray]:
    """The held-out windows (EVAL_BATCH, T+1) at a time; the last batch is filled up from the first ones.

    A loss does not depend on how many are evaluated together, so that `val_batch_size` changes nothing.
    """
    count = windows.n_val_tokens // windows.context_length
    found = corpus.evaluation_windows("heldout", windows.context_length, count)
    whole = found[np.arange(count + -count % EVAL_BATCH) % count]
    return np.split(whole, len(whole) // EVAL_BATCH)
