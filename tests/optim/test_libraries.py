"""Every optimizer on every library: the same numbers, one dtype, no input changed."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from chainrule import optim, tree

OPTIMIZERS = {
    "sgd": optim.sgd(0.05),
    "momentum": optim.sgd(0.02, momentum=0.9),
    "nesterov": optim.sgd(0.02, momentum=0.9, nesterov=True),
    "adagrad": optim.adagrad(0.1),
    "adadelta": optim.adadelta(),
    "rmsprop": optim.rmsprop(1e-3),
    "rmsprop, all": optim.rmsprop(1e-3, momentum=0.9, centered=True),
    "adam": optim.adam(),
    "amsgrad": optim.amsgrad(),
    "adamw": optim.adamw(),
    "adamax": optim.adamax(),
    "nadam": optim.nadam(),
}


@pytest.fixture(params=OPTIMIZERS)
def optimizer(request: pytest.FixtureRequest) -> Any:
    return OPTIMIZERS[request.param]


def gradients(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    return [
        {"0": {"weight": rng.standard_normal((3, 2)), "bias": rng.standard_normal(2)}, "1": {}}
        for _ in range(count)
    ]


def on_library(library: Any, host: Any, dtype: str) -> Any:
    return tree.map(lambda leaf: library.asarray(np.asarray(leaf, dtype=dtype)), host)


def run(backend64: Any, optimizer: Any, dtype: str, steps: int = 20) -> tuple[Any, Any]:
    start, *rest = (on_library(backend64, grads, dtype) for grads in gradients(steps + 1))
    rate = backend64.asarray(np.asarray(optimizer.lr, dtype=dtype))
    params, state = start, optimizer.init(backend64.xp, start)
    for grads in rest:
        params, state = optimizer.update(backend64.xp, grads, state, params, rate)
    return params, state


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 3e-6)])
def test_every_library_agrees_with_numpy_in_float64(backend64, optimizer, dtype, tolerance):
    numpy = SimpleNamespace(xp=np, asarray=np.asarray)
    expected = tree.flatten({"p": run(numpy, optimizer, "float64")[0]})
    actual = tree.flatten({"p": run(backend64, optimizer, dtype)[0]})
    assert actual.keys() == expected.keys()
    for path, leaf in actual.items():
        np.testing.assert_allclose(
            backend64.to_numpy(leaf), expected[path], rtol=tolerance, atol=tolerance
        )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_params_and_state_keep_dtype_and_shapes(backend64, optimizer, dtype):
    start = on_library(backend64, gradients(1)[0], dtype)
    before = tree.flatten(optimizer.init(backend64.xp, start))
    params, state = run(backend64, optimizer, dtype)
    assert params.keys() == start.keys()
    after = tree.flatten(state)
    assert after.keys() == before.keys()
    for path, leaf in after.items():
        assert leaf.shape == before[path].shape, path
    wanted = getattr(backend64.xp, dtype)
    for leaf in (*tree.leaves(params), *after.values(), *before.values()):
        assert leaf.dtype == wanted
        assert not isinstance(leaf, np.generic)


def test_a_learning_rate_may_be_a_python_float(backend64, optimizer):
    start, grads = (on_library(backend64, grads, "float32") for grads in gradients(2))
    state = optimizer.init(backend64.xp, start)
    params, state = optimizer.update(backend64.xp, grads, state, start, 0.1)
    for leaf in (*tree.leaves(params), *tree.leaves(state)):
        assert leaf.dtype == backend64.xp.float32


def test_inputs_are_not_modified(optimizer):
    start, first, second = gradients(3)
    params, state = optimizer.update(np, first, optimizer.init(np, start), start, 0.1)
    inputs = (second, state, params)
    copies = [tree.map(np.copy, each) for each in inputs]
    for leaf in (leaf for each in inputs for leaf in tree.leaves(each)):
        leaf.setflags(write=False)
    new_params, new_state = optimizer.update(np, second, state, params, np.asarray(0.1))
    for each, copy in zip(inputs, copies, strict=True):
        for path, leaf in tree.flatten(each).items():
            np.testing.assert_array_equal(leaf, tree.flatten(copy)[path])
    old = [id(leaf) for each in inputs for leaf in tree.leaves(each)]
    assert all(id(leaf) not in old for leaf in tree.leaves(new_params))
    assert new_state.keys() == state.keys()


def test_jit_with_donation_gives_the_eager_numbers(optimizer):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        start, *rest = (tree.map(jax.numpy.asarray, grads) for grads in gradients(21))
        eager_params, eager_state = start, optimizer.init(jax.numpy, start)
        params = tree.map(jax.numpy.copy, start)
        state = optimizer.init(jax.numpy, params)
        traces = []

        def update(grads: Any, state: Any, params: Any, rate: Any) -> tuple[Any, Any]:
            traces.append(1)
            return optimizer.update(jax.numpy, grads, state, params, rate)

        compiled = jax.jit(update, donate_argnums=(1, 2))
        for step, grads in enumerate(rest):
            rate = jax.numpy.asarray(optimizer.lr / (1 + step))
            eager_params, eager_state = optimizer.update(
                jax.numpy, grads, eager_state, eager_params, rate
            )
            params, state = compiled(grads, state, params, rate)
        assert len(traces) == 1
        for ours, eager in ((params, eager_params), (state, eager_state)):
            for path, leaf in tree.flatten(eager).items():
                np.testing.assert_allclose(tree.flatten(ours)[path], leaf, rtol=1e-13, atol=1e-14)


def test_init_runs_under_jit(optimizer):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        start = tree.map(jax.numpy.asarray, gradients(1)[0])
        state = jax.jit(lambda params: optimizer.init(jax.numpy, params))(start)
    assert tree.flatten(state).keys() == tree.flatten(optimizer.init(np, gradients(1)[0])).keys()


def test_a_network_without_parameters_is_no_error(backend64, optimizer):
    state = optimizer.init(backend64.xp, {"0": {}})
    params, state = optimizer.update(backend64.xp, {"0": {}}, state, {"0": {}}, 0.1)
    assert params == {"0": {}}


@pytest.mark.parametrize("b", [0.9, 0.999, 0.999999])
def test_bias_correction_is_exact_in_float32(b):
    from chainrule.optim.optimizer import bias_correction

    for step in (1, 2, 10, 1000):
        actual = bias_correction(np, np.asarray(step, dtype="float32"), b)
        expected = -np.expm1(step * np.log(b))
        assert actual.dtype == np.float32
        assert abs(actual - expected) <= 4e-7 * expected
    assert bias_correction(np, np.asarray(1.0), 0.0) == 1.0


def test_zero_gradients_leave_the_parameters(backend64, optimizer):
    if isinstance(optimizer, optim.AdamW):
        optimizer = optim.adamw(weight_decay=0.0)
    start = on_library(backend64, gradients(1)[0], "float32")
    zeros = tree.map(backend64.xp.zeros_like, start)
    params, _ = optimizer.update(
        backend64.xp, zeros, optimizer.init(backend64.xp, start), start, 0.1
    )
    for path, leaf in tree.flatten(params).items():
        before = backend64.to_numpy(tree.flatten(start)[path])
        np.testing.assert_array_equal(backend64.to_numpy(leaf), before)


def test_a_state_saved_and_read_back_continues_alike(optimizer):
    start, *rest = gradients(11)
    params, state = start, optimizer.init(np, start)
    for grads in rest[:5]:
        params, state = optimizer.update(np, grads, state, params, 0.01)
    read = tree.unflatten({path: np.array(leaf) for path, leaf in tree.flatten(state).items()})
    read = {
        name: {"1": {}, **read[name]} if isinstance(read[name], dict) else read[name]
        for name in sorted(read)
    }
    other = params
    for grads in rest[5:]:
        params, state = optimizer.update(np, grads, state, params, 0.01)
        other, read = optimizer.update(np, grads, read, other, 0.01)
    for path, leaf in tree.flatten(params).items():
        np.testing.assert_array_equal(leaf, tree.flatten(other)[path])
