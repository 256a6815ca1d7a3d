"""JAX and optax, one jitted step at a time: the state is donated, the rows are gathered inside, and
nothing waits for the device before the epochs are over."""

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
    """Return the training, a call of the compiled step for each batch."""
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

    def loss_of(params: Any, x: jax.Array, t: jax.Array) -> jax.Array:
        for weight, bias in params[:-1]:
            x = jax.nn.relu(x @ weight + bias)
        weight, bias = params[-1]
        return optax.softmax_cross_entropy_with_integer_labels(x @ weight + bias, t).mean()

    @partial(jax.jit, donate_argnums=(0, 1), static_argnums=6)
    def step(
        state: Any,
        total: jax.Array,
        inputs: jax.Array,
        labels: jax.Array,
        order: jax.Array,
        start: int,
        size: int,
    ) -> tuple[Any, jax.Array]:
        params, memory = state
        rows = jax.lax.dynamic_slice(order, (start,), (size,))
        loss, grads = jax.value_and_grad(loss_of)(params, inputs[rows], labels[rows])
        updates, memory = optimizer.update(grads, memory, params)
        return (optax.apply_updates(params, updates), memory), total + loss

    shuffled = jax.jit(lambda key: jax.random.permutation(key, network.rows))

    def run(epochs: int) -> float:
        nonlocal state, key
        total = jnp.zeros(())
        for _ in range(epochs):
            key, own = jax.random.split(key)
            order, total = shuffled(own), jnp.zeros(())
            for start in range(0, network.rows, network.batch):
                size = min(network.batch, network.rows - start)
                state, total = step(state, total, inputs, labels, order, start, size)
        jax.block_until_ready(state)
        return float(total) / network.steps

    return Training(run)
