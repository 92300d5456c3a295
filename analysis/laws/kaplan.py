"""L(N, D) = ((Nc/N)^(alpha_N/alpha_D) + Dc/D)^alpha_D: no irreducible loss, and the terms added in a power.

Kaplan et al. (2020), Scaling Laws for Neural Language Models, equation 1.5; N is non-embedding there (the
blocks alone: `--count body`). Their fit: alpha_N .076, alpha_D .103, Nc 6.4e13, Dc 1.8e13 tokens.
"""

from __future__ import annotations

from isoflop.analysis.laws.law import CENTRED_TERMS, FREE, Array, Law, Published, array_namespace

POSITIVE = (1e-3, 8.0)


def predict(params: Array, N: Array, D: Array) -> Array:
    xp = array_namespace(params)
    Nc, alpha_N, Dc, alpha_D = (params[i] for i in range(4))
    # In logs: where a start has a small alpha_D the inner power would overflow.
    size = alpha_N / alpha_D * (xp.log(Nc) - xp.log(N))
    return xp.exp(alpha_D * xp.logaddexp(size, xp.log(Dc) - xp.log(D)))


def encode(params: Array, n0: float, d0: float) -> Array:
    """theta = (log of (Nc/n0)^alpha_N, alpha_N, log of (Dc/d0)^alpha_D, alpha_D): logs of L(n0, infinity) and
    of L(infinity, d0).
    """
    xp = array_namespace(params)
    Nc, alpha_N, Dc, alpha_D = (params[i] for i in range(4))
    size, data = alpha_N * (xp.log(Nc) - xp.log(n0)), alpha_D * (xp.log(Dc) - xp.log(d0))
    return xp.stack([size, alpha_N, data, alpha_D])


def decode(theta: Array, n0: Array, d0: Array) -> Array:
    xp = array_namespace(theta)
    size, alpha_N, data, alpha_D = (theta[i] for i in range(4))
    return xp.stack([n0 * xp.exp(size / alpha_N), alpha_N, d0 * xp.exp(data / alpha_D), alpha_D])


def exponents(params: Array) -> tuple[Array, Array]:
    """a = alpha_D / (alpha_N + alpha_D), b = alpha_N / (alpha_N + alpha_D)."""
    alpha_N, alpha_D = params[1], params[3]
    return alpha_D / (alpha_N + alpha_D), alpha_N / (alpha_N + alpha_D)


def allocate(params: Array, C: Array) -> Array:
    """Where alpha_N/alpha_D (Nc/N)^(alpha_N/alpha_D) = Dc/D with D = C/(6N)."""
    Nc, alpha_N, Dc, alpha_D = (params[i] for i in range(4))
    # The derivative in log N of the sum inside the outer power, at fixed C, set to zero.
    ratio = alpha_N / alpha_D
    return (ratio * Nc**ratio * C / (6 * Dc)) ** (1 / (1 + ratio))


PUBLISHED = (
    Published(
        "kaplan",
        (6.4e13, 0.076, 1.8e13, 0.103),
        source="Kaplan et al. (2020), table 2",
        seen="quoted",
        n_range=(768.0, 1.5e9),
        d_range=(2.2e7, 2.3e10),
        count="body",
        data="WebText2",
        note="early-stopped with dropout, D repeated: C = 6ND is false for it, and its best split is not "
        "the paper's N ~ C^.73",
    ),
)

LAW = Law(
    name="kaplan",
    parameters=("Nc", "alpha_N", "Dc", "alpha_D"),
    equation="L(N, D) = ((Nc/N)^(alpha_N/alpha_D) + Dc/D)^alpha_D",
    source="Kaplan et al. (2020), equation 1.5",
    summary="size and data in one power, without a floor",
    conventions="N without embeddings (the blocks alone), D tokens at early stopping, nats per token",
    needs="runs limited by size and runs limited by data",
    blind_to="an irreducible loss; C = 6 N D does not hold for its own runs, which repeat their data",
    published=PUBLISHED,
    predict=predict,
    encode=encode,
    decode=decode,
    start_box=CENTRED_TERMS,
    bounds=(FREE, POSITIVE, FREE, POSITIVE),
    exponents=exponents,
    allocate=allocate,
)
