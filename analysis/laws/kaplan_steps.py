"""L(N, S) = (Nc/N)^alpha_N + (Sc/S)^alpha_S: learning curves in steps, on data that does not run out.

Kaplan et al. (2020), Scaling Laws for Neural Language Models, equations 1.6 and 5.6, table 3. S is S_min, the
least number of steps, of batches far above the critical one: S_min = steps / (1 + B_crit/B), with B_crit from
`critical_batch`.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import FREE, Array, Covariate, Law, Published, Slice, array_namespace

POSITIVE = (1e-3, 8.0)
MIDDLE = 1e4
"""Steps at which theta has the log of the second term: at Sc it is one nat."""
STEPS = Covariate("S", "steps", "steps, at batches far above the critical one", lambda N, D, C: 1e4 + 0.0 * N)


def predict(params: Array, N: Array, D: Array, S: Array) -> Array:
    xp = array_namespace(params)
    Nc, alpha_N, Sc, alpha_S = (params[i] for i in range(4))
    size = xp.exp(alpha_N * (xp.log(Nc) - xp.log(N)))
    # D takes part for its shape alone: every law's inputs broadcast.
    return size + xp.exp(alpha_S * (xp.log(Sc) - xp.log(S))) + 0.0 * D


def encode(params: Array, n0: Array, d0: Array) -> Array:
    """theta = (log of the first term at n0, alpha_N, log of the second at the middle steps, alpha_S)."""
    xp = array_namespace(params)
    Nc, alpha_N, Sc, alpha_S = (params[i] for i in range(4))
    size = alpha_N * (xp.log(Nc) - xp.log(xp.asarray(n0)))
    return xp.stack([size, alpha_N, alpha_S * (xp.log(Sc) - xp.log(xp.asarray(MIDDLE))), alpha_S])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    size, alpha_N, steps, alpha_S = (theta[i] for i in range(4))
    return xp.stack([n0 * xp.exp(size / alpha_N), alpha_N, MIDDLE * xp.exp(steps / alpha_S), alpha_S])


PUBLISHED = (
    Published(
        "kaplan",
        (6.5e13, 0.077, 2.1e3, 0.76),
        source="Kaplan et al. (2020), table 3",
        seen="quoted",
        n_range=(768.0, 1.5e9),
        count="body",
        data="WebText2",
        note="breaks down in a curve's first steps, as its authors say",
    ),
)

LAW = Law(
    name="kaplan_steps",
    parameters=("Nc", "alpha_N", "Sc", "alpha_S"),
    equation="L(N, S) = (Nc/N)^alpha_N + (Sc/S)^alpha_S",
    source="Kaplan et al. (2020), equations 1.6 and 5.6",
    summary="learning curves in optimizer steps, for each size",
    conventions="S steps at batches far above the critical one; N without embeddings; nats per token",
    needs="learning curves of several sizes over two decades of steps at one batch, past the warm-up",
    blind_to="the data running out, the schedule of the rate (a curve's end falls faster than its middle)",
    drawn=Slice("S", 1e3, 1e6, (("N", 1e9),)),
    published=PUBLISHED,
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=((-2.0, 2.0), (0.02, 1.0), (-4.0, 2.0), (0.02, 1.5)),
    bounds=(FREE, POSITIVE, FREE, POSITIVE),
    covariates=(STEPS,),
    has_optimum=False,
    competes=False,
)
