"""Where JAX computes, and with what products."""

import jax

PRECISIONS = {"float32": "float32", "tf32": "tensorfloat32"}


def use(device: str, precision: str) -> None:
    """Let JAX compute on the CPU, or on a CUDA device with products of that precision.

    Unless told otherwise it multiplies float32 as TF32 there. Raises `RuntimeError` where JAX sees
    no such device.
    """
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
        return
    if jax.default_backend() != "gpu":
        raise RuntimeError(f"JAX has no CUDA device here, it would run on {jax.default_backend()}")
    jax.config.update("jax_default_matmul_precision", PRECISIONS[precision])
