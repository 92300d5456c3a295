"""Unlimited corpora of made-up ids, whose least possible loss is known; made on the device when asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from isoflop.base.errors import UserError
from isoflop.train.data.corpus import Corpus, token_dtype
from isoflop.train.data.processes import SyntheticProcess, Tables, open_process
from isoflop.train.data.random_bits import threefry
from isoflop.train.data.sources import Text
from isoflop.train.data.tokenizers import open_tokenizer
from isoflop.train.spec import Split

if TYPE_CHECKING:
    from isoflop.train.data.sources.synthetic import SyntheticSource

GENERATOR = "threefry 1"
"""Part of every key and fingerprint: raised by any change that makes other ids of the same name."""

STRETCH_BITS, SEED_BITS = 40, 16
LONGEST_CONTEXT = 1 << 15
TABLES = "tables.npz"


@dataclass(frozen=True, eq=False)
class SyntheticCorpus(Corpus):
    """The ids of window i of a split are a pure function of the process, the split, i and the context.

    Training with another data seed reads another stretch of 2^40 windows, the same for seeds that are equal
    modulo 2^16. Splits are streams of their own.
    """

    argument: str

    def n_tokens(self, split: Split) -> int:
        """2^40, about 1.1e12: less than a data seed's stretch holds, more than is ever asked for."""
        return 1 << STRETCH_BITS

    def n_windows(self, split: Split, context: int) -> int:
        """2^56, those of every seed. Raises `UserError` for a context that the process can't fill."""
        shortest = self._process.shortest_context
        if not shortest <= context <= LONGEST_CONTEXT:
            raise UserError(
                f"{self.spec.source} fills contexts of {shortest} to {LONGEST_CONTEXT} tokens, not {context}"
            )
        return 1 << STRETCH_BITS + SEED_BITS

    def windows(self, split: Split, context: int, index: Sequence[int] | NDArray[Any]) -> NDArray[Any]:
        """Windows (len(index), context + 1), off the device."""
        # Padded to a power of two, so that few compiled programs serve all counts.
        padded = np.zeros(1 << max(0, len(index) - 1).bit_length(), dtype=np.int64)
        padded[: len(index)] = index
        return np.asarray(self.on_device(split, context, padded))[: len(index)]

    def evaluation_windows(self, split: Split, context: int, count: int) -> NDArray[Any]:
        """The first `count` windows (count, context + 1): they are independent of each other."""
        self.n_windows(split, context)
        return self.windows(split, context, np.arange(count))

    @property
    def made_on_device(self) -> bool:
        """True."""
        return True

    def on_device(self, split: Split, context: int, index: NDArray[np.int64]) -> jax.Array:
        """Windows (len(index), context + 1) where the default device made them."""
        words = np.stack([index >> 32, index & 0xFFFFFFFF]).astype(np.uint32)
        program = _program(self._process, context + 1)
        return program(self._device_tables, _split_key(self.argument, split), words)

    def draw(self, seed: int, start: int, stop: int, context: int) -> NDArray[np.int64]:
        """Indices (stop - start,): one after the other, from where the seed's stretch begins."""
        return (seed % (1 << SEED_BITS) << STRETCH_BITS) + np.arange(start, stop)

    @property
    def bytes_per_token(self) -> None:
        """None: the ids stand for no text."""
        return None

    def floor(self, context: int) -> float:
        """The process' own, nats per target; see `SyntheticProcess.floor`."""
        self.n_windows("train", context)
        return _floor(self, context)

    @cached_property
    def _process(self) -> SyntheticProcess:
        return open_process(self.argument)

    @cached_property
    def _tables(self) -> Tables:
        with np.load(self.folder / TABLES) as tables:
            return dict(tables)

    @cached_property
    def _device_tables(self) -> dict[str, jax.Array]:
        return {name: jnp.asarray(table) for name, table in self._tables.items()}


CORPUS = SyntheticCorpus


def write(source: SyntheticSource, tokenizer_name: str, learnt_from: Text, folder: Path) -> dict[str, Any]:
    """Writes the process' tables into `folder`; returns what `SyntheticCorpus` holds beside them."""
    open_tokenizer(tokenizer_name, source)
    tables = source.process.tables()
    np.savez(folder / TABLES, allow_pickle=False, **tables)
    digest = hashlib.sha256(source.fingerprint.encode())
    for name, table in sorted(tables.items()):
        digest.update(name.encode() + table.tobytes())
    return {
        "vocab_size": source.process.vocab_size,
        "eos": None,
        "argument": source.argument,
        "digest": digest.hexdigest()[:16],
    }


def identity(argument: str) -> str:
    """The process with all its parameters, spelled one way, and the generator's version."""
    parameters: Any = open_process(argument)
    spelled = json.dumps([argument.partition(",")[0], asdict(parameters)], sort_keys=True)
    return f"{GENERATOR} {spelled}"


@lru_cache(maxsize=64)
def _split_key(argument: str, split: Split) -> NDArray[np.uint32]:
    name = f"{identity(argument)} {split}"
    return np.frombuffer(hashlib.sha256(name.encode()).digest()[:8], dtype="<u4").astype(np.uint32)


@lru_cache(maxsize=64)
def _floor(corpus: SyntheticCorpus, context: int) -> float:
    return corpus._process.floor(corpus._tables, context)


@lru_cache(maxsize=64)
def _program(process: SyntheticProcess, length: int) -> Callable[..., jax.Array]:
    dtype = token_dtype(process.vocab_size)

    def generate(tables: Any, split_key: jax.Array, index_2xW: jax.Array) -> jax.Array:
        keys = jnp.stack(threefry(split_key[0], split_key[1], index_2xW[0], index_2xW[1]))
        # Once a window: XLA would rather fuse this into every token's own bits.
        return process.sample(tables, jax.lax.optimization_barrier(keys), length).astype(dtype)

    return jax.jit(generate)
