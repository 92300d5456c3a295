"""Whose the accelerator is: the workers', and no command's own."""

from __future__ import annotations


def stay_off_the_accelerator() -> None:
    """Keeps this process' JAX on the CPU.

    Call it before JAX looks for devices: a GPU that it finds is one whose memory it takes.
    """
    import jax

    jax.config.update("jax_platforms", "cpu")
