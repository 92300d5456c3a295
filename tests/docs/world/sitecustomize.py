"""Training that takes no time, for every Python started with this folder on PYTHONPATH.

Whatever a command does besides stays as it is: plans, data, workers, claims, records, tables, fits, reports.
A cell's losses are those of a law of its N and D, with a noise of its trunk's and of its own.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from typing import Any

TRAINS = "isoflop.sweeps.workers.execute"
"""The module through which workers train and evaluate."""

E, A, ALPHA, B, BETA = 1.54, 285.0, 0.74, 594.0, 0.57
"""Near what the demo measures."""
BEST_RATE, RATE_COST = 0.0025, 0.03
TRUNK_NOISE, RUN_NOISE = 0.003, 0.001


class Finder(MetaPathFinder):
    """Changes the module of training as soon as it has been imported."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        """The module's own spec, whose loader changes it at the end."""
        if fullname != TRAINS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        loader: Any = spec.loader
        execute = loader.exec_module

        def then_pretend(module: Any) -> None:
            execute(module)
            pretend(module)

        loader.exec_module = then_pretend
        return spec


def pretend(module: Any) -> None:
    """Puts the functions below in the place of the trainer's."""
    module.TrainingRun, module.evaluate = PretendedRun, evaluate
    module.checkpoint.save, module.checkpoint.restore = save, restore


class PretendedRun:
    """Stands for `isoflop.train.loop.TrainingRun`: the training loss falls to the law's."""

    done = True

    def __init__(
        self,
        segments: Sequence[Any],
        corpus: Any,
        starts: Sequence[Any],
        execution: Any = None,
        *,
        profile: Any = None,
        agree: Any = None,
        teacher_params: Any = None,
    ) -> None:
        self.segments, self.steps = segments, segments[0].stop - segments[0].start

    def __iter__(self) -> Iterator[Any]:
        import numpy as np

        yield {"loss": np.stack([trained.losses for trained in self.trained()])}

    def trained(self) -> list[Any]:
        """The segments at their ends."""
        import numpy as np

        from isoflop.train.loop import Trained

        trained = []
        for segment in self.segments:
            steps = np.arange(segment.start, segment.stop) + 1
            metrics = {"loss": law(segment.recipe, steps * segment.recipe.batch_tokens).astype(np.float32)}
            state: Any = np.zeros(1)
            trained.append(Trained(state, metrics, 0.01, 0.005, 1e-6, len(self.segments)))
        return trained


def evaluate(cell: Any, state: Any, corpus: Any, execution: Any = None) -> Any:
    """Stands for `isoflop.train.loop.evaluate`: the loss of each window, and a share that falls with it."""
    import numpy as np

    from isoflop.train.result import Evaluation

    recipe = cell.recipe
    own = RUN_NOISE * normal(cell.cell_id)
    trunk = TRUNK_NOISE * normal((recipe.init_seed, recipe.data_seed, recipe.model))
    off = np.log(recipe.optimizer.peak_lr / BEST_RATE)
    loss = law(recipe, np.array(cell.tokens)) * np.exp(own + trunk) + RATE_COST * off**2
    losses = loss + np.linspace(-0.1, 0.1, cell.eval_windows)
    return Evaluation(losses.astype(np.float32), np.exp(-losses).astype(np.float32))


def law(recipe: Any, tokens: Any) -> Any:
    """The loss of a recipe after so many tokens."""
    return E + A * recipe.ledger.params() ** -ALPHA + B * tokens**-BETA


def normal(key: Any) -> float:
    """A standard normal number of the key's own."""
    import numpy as np

    digest = hashlib.sha256(repr(key).encode()).digest()
    return float(np.random.default_rng(int.from_bytes(digest[:8], "big")).standard_normal())


def save(state: Any, path: Any) -> None:
    """Stands for `isoflop.train.checkpoint.save`."""
    import numpy as np

    path.mkdir()
    np.save(path / "state.npy", state)


def restore(recipe: Any, path: Any, execution: Any = None) -> Any:
    """Stands for `isoflop.train.checkpoint.restore`."""
    import numpy as np

    return np.load(path / "state.npy")


sys.meta_path.insert(0, Finder())
