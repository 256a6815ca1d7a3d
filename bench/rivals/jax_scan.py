"""JAX and optax, one program an epoch: shuffle, gather and `lax.scan` over the steps are inside one
jit, the state is donated; the tail batch is a step after the scan."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from bench.contenders import Training
from bench.networks import Network
from bench.rivals.on_jax import use


def build(network: Network, X: np.ndarray, y: np.ndarray, *, device: str = "cpu") -> Training:
    """Return the training, a call of the compiled epoch for each epoch."""
    use(device, network.precision)
    inputs, labels = jnp.asarray(X), jnp.asarray(y, dtype=jnp.int32)
    optimizer = optax.adam(1e-3)
    key = jax.random.key(0)
    params = []
    for fan_in, fan_out in zip(network.sizes, network.sizes[1:], strict=False):
        key, own = jax.random.split(key)
        weight = jax.random.normal(own, (fan_in, fan_out)) * (2 / fan_in) ** 0.5
        params.append((weight, jnp.zeros(fan_out)))
    state: Any = (params, optimizer.init(params))
    whole = network.rows // network.batch * network.batch

    def loss_of(params: Any, x: jax.Array, t: jax.Array) -> jax.Array:
        for weight, bias in params[:-1]:
            x = jax.nn.relu(x @ weight + bias)
        weight, bias = params[-1]
        return optax.softmax_cross_entropy_with_integer_labels(x @ weight + bias, t).mean()

    @partial(jax.jit, donate_argnums=0)
    def epoch(
        state: Any, inputs: jax.Array, labels: jax.Array, key: jax.Array
    ) -> tuple[Any, jax.Array]:
        def step(state: Any, rows: jax.Array) -> tuple[Any, jax.Array]:
            params, memory = state
            loss, grads = jax.value_and_grad(loss_of)(params, inputs[rows], labels[rows])
            updates, memory = optimizer.update(grads, memory, params)
            return (optax.apply_updates(params, updates), memory), loss

        order = jax.random.permutation(key, network.rows)
        state, losses = jax.lax.scan(step, state, order[:whole].reshape(-1, network.batch))
        total = losses.sum()
        if whole < network.rows:
            state, loss = step(state, order[whole:])
            total = total + loss
        return state, total

    def run(epochs: int) -> float:
        nonlocal state, key
        total = jnp.zeros(())
        for _ in range(epochs):
            key, own = jax.random.split(key)
            state, total = epoch(state, inputs, labels, own)
        jax.block_until_ready(state)
        return float(total) / network.steps

    return Training(run)
