"""The compiled programs of one recipe: initialize, train a stretch of steps, evaluate. Pure functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import Mesh

from isoflop.models import ModelConfig, build
from isoflop.models.config import Dtype
from isoflop.train.distillation import TeacherOutputs, distilled_loss
from isoflop.train.execution import Execution, Remat
from isoflop.train.loss import TokenScores, mean_loss, token_scores
from isoflop.train.mesh import divided, mesh_over, replicated, sharded
from isoflop.train.optimizers import directions
from isoflop.train.parametrization import Multipliers, multipliers
from isoflop.train.spec import Distillation, Recipe

EVAL_BATCH = 16
"""Windows evaluated at a time: a constant, so that a loss doesn't depend on who asked for it."""

AUXILIARY_WEIGHTS = {"balance_loss": 0.01, "router_z": 0.001}
"""Weights of losses besides the cross-entropy, by the model's name for them (Fedus et al. 2022, section 2.2;
Zoph et al. 2022, equation 6)."""

Packing = Literal["vmap", "map"]
Metrics = dict[str, jax.Array]


class TrainState(NamedTuple):
    """Everything a run carries from one step to the next: parameters and optimizer moments (pytrees)."""

    params: Any
    moments: Any


@dataclass(frozen=True)
class Programs:
    """Jitted functions of arrays.

    init(seed) -> State
    train(state, windows (W, T+1), rows (S, B), rates (S,), weight_decay, steps <= S) -> State, metrics (S,);
        of a recipe with a teacher its parameters are one more argument, the last
    evaluate(params, windows (E, T+1)) -> TokenScores, of each window the means (E,)

    Metrics, one number a step: `loss` (cross-entropy, nats per token), `grad_norm` before clipping,
    `update_norm`, and the model's auxiliary scalars; with a teacher `distillation_loss` too.
    """

    init: Callable[[Any], TrainState]
    train: Callable[..., tuple[TrainState, Metrics]]
    evaluate: Callable[[Any, Any], TokenScores]
    traced: Callable[..., tuple[TrainState, Metrics]]
    packing: Packing
    mesh: Mesh | None

    @cached_property
    def train_members(self) -> Callable[..., tuple[TrainState, Metrics]]:
        """`train` of M runs at once: state, rows, rates and decays have a leading axis of members.

        By `vmap` one program computes all members together; by `map` one after the other, bitwise as alone.
        """
        return jax.jit(partial(_train_members, self.traced, self.packing), donate_argnums=0)


def programs(recipe: Recipe, execution: Execution = Execution(), packing: Packing | None = None) -> Programs:
    """The programs of a recipe; those that differ in rate, schedule, length, seed or repeats share them."""
    packing = packing or ("map" if jax.default_backend() == "cpu" else "vmap")
    return _programs(shape_of(recipe), execution.remat, execution.devices, packing)


def shape_of(recipe: Recipe) -> Recipe:
    """The recipe with all that is not part of its compiled programs set to one value."""
    optimizer = replace(recipe.optimizer, peak_lr=0.0, weight_decay=0.0)
    shape = replace(recipe, optimizer=optimizer, init_seed=0, data_seed=0, unique_windows=None)
    if distillation := recipe.distillation:
        teacher = replace(distillation.teacher, cell_id="", digest="", flops=0, loss=0.0, data=recipe.data)
        shape = replace(shape, distillation=replace(distillation, teacher=teacher))
    return replace(shape, schedule=replace(shape.schedule, name="wsd", warmup_steps=0))


@lru_cache(maxsize=64)
def _programs(recipe: Recipe, remat: Remat, devices: int, packing: Packing) -> Programs:
    return programs_of(
        recipe.model,
        directions(recipe.optimizer),
        partial(multipliers, recipe),
        recipe.optimizer.clip,
        dtype=recipe.dtype,
        remat=remat,
        mesh=mesh_over(devices) if devices > 1 else None,
        packing=packing,
        distillation=recipe.distillation,
    )


def programs_of(
    model: ModelConfig,
    transform: optax.GradientTransformation,
    multipliers_of: Callable[[Any], Multipliers],
    clip: float,
    *,
    dtype: Dtype,
    param_dtype: Dtype = "float32",
    remat: Remat = "none",
    mesh: Mesh | None = None,
    packing: Packing = "map",
    distillation: Distillation | None = None,
) -> Programs:
    """The programs of a model under an optimizer of one's own; `transform` and `clip` as in `train_step`.

    `multipliers_of`: of a tree of parameters. `dtype`: of the products; `param_dtype`: of the parameters and
    moments between steps.
    """
    graph, params = nnx.split(nnx.eval_shape(lambda: build(model, seed=0, dtype=dtype, remat=remat)))
    # An evaluation has no backward pass that could recompute anything.
    plain = nnx.graphdef(nnx.eval_shape(lambda: build(model, seed=0, dtype=dtype)))

    def init(seed: Any) -> TrainState:
        params = nnx.state(build(model, seed=seed, dtype=dtype), nnx.Param)
        params = jax.tree.map(lambda x: x.astype(param_dtype), params)
        return TrainState(params, transform.init(params))

    step = partial(
        train_step,
        graph=graph,
        transform=transform,
        multipliers=multipliers_of(params),
        clip=clip,
        mesh=mesh,
        teacher_program=_teacher_program(distillation) if distillation else None,
    )
    evaluate = partial(window_scores, graph=plain, mesh=mesh)
    return _jitted(init, partial(train_steps, step=step), evaluate, packing, mesh, distillation is not None)


class TeacherProgram(NamedTuple):
    """A teacher without its parameters, and the share of the loss that is its."""

    graph: nnx.GraphDef[Any]
    share: float


def _teacher_program(distillation: Distillation) -> TeacherProgram:
    model, dtype = distillation.teacher.model, distillation.teacher.dtype
    return TeacherProgram(
        nnx.graphdef(nnx.eval_shape(lambda: build(model, seed=0, dtype=dtype))), distillation.share
    )


def train_step(
    state: TrainState,
    windows_BxT1: jax.Array,
    rate: Any,
    weight_decay: Any,
    teacher_params: Any = None,
    *,
    graph: nnx.GraphDef[Any],
    transform: optax.GradientTransformation,
    multipliers: Multipliers,
    clip: float,
    mesh: Mesh | None = None,
    teacher_program: TeacherProgram | None = None,
) -> tuple[TrainState, Metrics]:
    """One step of a training run, a pure function of arrays; what is named after them is static.

    `graph`: the model without its parameters. `transform`: gradients to directions, by `directions`. `clip`:
    the largest global norm of a gradient, 0 for no bound. `teacher_program`: the teacher whose parameters are
    `teacher_params`, if there is one.
    """
    loss = partial(objective, graph=graph, mesh=mesh)
    if teacher_program:
        features, head, *_ = _apply(teacher_params, windows_BxT1, teacher_program.graph, mesh)
        loss = partial(loss, teacher_outputs=TeacherOutputs(features, head), share=teacher_program.share)
    gradient, metrics = jax.grad(loss, has_aux=True)(state.params, windows_BxT1)
    norm = optax.tree.norm(gradient)
    if clip:  # not optax's, which would take the norm anew
        gradient = jax.tree.map(lambda g: g * (clip / jnp.maximum(norm, clip)), gradient)
    direction, moments = transform.update(gradient, state.moments, state.params)

    def move(p: jax.Array, d: jax.Array, rate_multiplier: float, decay_multiplier: float) -> jax.Array:
        # Decoupled decay, times the rate as in optax's adamw; where there is none its product isn't computed.
        decayed = d + weight_decay * decay_multiplier * p if decay_multiplier else d
        return rate * rate_multiplier * decayed

    update = jax.tree.map(move, state.params, direction, *multipliers)
    params = jax.tree.map(lambda p, u: (p - u).astype(p.dtype), state.params, update)
    norms = {"grad_norm": norm, "update_norm": optax.tree.norm(update)}
    return TrainState(params, moments), metrics | norms


def train_steps(
    state: TrainState,
    windows: Any,
    rows: Any,
    rates: Any,
    weight_decay: Any,
    steps: Any,
    *teacher_params: Any,
    step: Callable[..., tuple[TrainState, Metrics]],
) -> tuple[TrainState, Metrics]:
    """The first `steps` of S steps, each on the windows that its row names; metrics (S,), 0 after `steps`.

    `teacher_params`: of the teacher that `step` learns from, if it has one."""

    def one(i: jax.Array, carry: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
        state, metrics = step(carry[0], windows[rows[i]], rates[i], weight_decay, *teacher_params)
        return state, {name: carry[1][name].at[i].set(value) for name, value in metrics.items()}

    # A loop with a traced bound, and not a scan: one program serves stretches of any length up to S.
    first = windows[rows[0]], rates[0], weight_decay
    names = jax.eval_shape(step, state, *first, *teacher_params)[1]
    return jax.lax.fori_loop(0, steps, one, (state, {name: jnp.zeros(rates.shape) for name in names}))


def objective(
    params: Any,
    windows_BxT1: jax.Array,
    *,
    graph: nnx.GraphDef[Any],
    mesh: Mesh | None = None,
    teacher_outputs: TeacherOutputs | None = None,
    share: float = 0.0,
) -> tuple[jax.Array, Metrics]:
    """What a step minimizes: the mean cross-entropy of a batch, nats per token, and the auxiliary losses.

    `share` of the cross-entropy is against the distribution of a teacher's `teacher_outputs` on the batch.
    """
    features, head, targets, auxiliary = _apply(params, windows_BxT1, graph, mesh)
    extra = sum(weight * auxiliary[name] for name, weight in AUXILIARY_WEIGHTS.items() if name in auxiliary)
    if teacher_outputs is None:
        loss = mean_loss(features, head, targets)
        return loss + extra, {"loss": loss} | auxiliary
    losses = distilled_loss(features, head, targets, teacher_outputs, share)
    metrics = {"loss": losses.loss, "distillation_loss": losses.distillation_loss}
    return losses.objective + extra, metrics | auxiliary


def window_scores(
    params: Any, windows_ExT1: jax.Array, *, graph: nnx.GraphDef[Any], mesh: Mesh | None = None
) -> TokenScores:
    """Mean loss of each window, nats per token, and its share of correct tokens, (E,) each; E is a multiple
    of EVAL_BATCH."""

    def one_batch(windows_BxT1: jax.Array) -> TokenScores:
        features, head, targets, _ = _apply(params, windows_BxT1, graph, mesh)
        return TokenScores(*(x.mean(axis=-1) for x in token_scores(features, head, targets)))

    batches = windows_ExT1.reshape(-1, EVAL_BATCH, windows_ExT1.shape[-1])
    return TokenScores(*(x.reshape(-1) for x in jax.lax.map(one_batch, batches)))


def _apply(
    params: Any, windows_BxT1: jax.Array, graph: nnx.GraphDef[Any], mesh: Mesh | None
) -> tuple[jax.Array, jax.Array, jax.Array, Metrics]:
    """Features, unembedding, targets (B, T), and the model's auxiliary scalars."""
    if mesh is not None:
        # Gathered once for the whole step; XLA would else gather each matrix at each of its uses.
        params = jax.lax.with_sharding_constraint(params, replicated(mesh))
        if len(windows_BxT1) % mesh.size == 0:  # a few windows to evaluate may not go round
            windows_BxT1 = jax.lax.with_sharding_constraint(windows_BxT1, divided(mesh))
    tokens = windows_BxT1.astype(jnp.int32)
    model: Any = nnx.merge(graph, params)
    features, auxiliary = model.features(tokens[:, :-1])
    return features, model.unembedding(), tokens[:, 1:], auxiliary


def _jitted(
    init: Any, train: Any, evaluate: Any, packing: Packing, mesh: Mesh | None, has_teacher: bool
) -> Programs:
    # Initialization runs once: half of its time was LLVM polishing it.
    once = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    if mesh is None:
        jits = jax.jit(init, compiler_options=once), jax.jit(train, donate_argnums=0), jax.jit(evaluate)
        return Programs(*jits, traced=train, packing=packing, mesh=None)
    state, whole = sharded(mesh, jax.eval_shape(init, 0)), replicated(mesh)
    return Programs(
        init=jax.jit(init, out_shardings=state, compiler_options=once),
        train=jax.jit(
            train,
            in_shardings=(state, *(whole,) * (6 if has_teacher else 5)),
            out_shardings=(state, whole),
            donate_argnums=0,
        ),
        evaluate=jax.jit(evaluate, in_shardings=(state.params, whole), out_shardings=whole),
        traced=train,
        packing=packing,
        mesh=mesh,
    )


def _train_members(
    train: Any,
    packing: Packing,
    states: TrainState,
    windows: Any,
    rows: Any,
    rates: Any,
    decays: Any,
    steps: Any,
    *teacher_params: Any,
) -> tuple[TrainState, Metrics]:
    if packing == "vmap":
        shared = (None,) * (1 + len(teacher_params))
        together = jax.vmap(train, in_axes=(0, None, 0, 0, 0, *shared))
        return together(states, windows, rows, rates, decays, steps, *teacher_params)
    members = states, rows, rates, decays
    return jax.lax.map(lambda m: train(m[0], windows, *m[1:], steps, *teacher_params), members)
