"""How a command's own JAX computes: on the CPU, with compiled programs from the cache."""

from __future__ import annotations

import os


def set_up_jax() -> None:
    """Keeps this process' JAX on the CPU, and its compiled programs in the cache where that can be written.

    Call it before JAX looks for devices: a GPU that it finds is one whose memory it takes, and which the
    workers want. Most of a fit's time is compilation; a later command finds the programs.
    """
    import jax

    from isoflop.base.cache import cache_dir
    from isoflop.train.device import set_up

    jax.config.update("jax_platforms", "cpu")
    try:
        writable = os.access(cache_dir("compiled"), os.W_OK)
    except (OSError, RuntimeError):  # RuntimeError: of a user without a home
        writable = False
    if writable:
        set_up()
