"""On every library: <dy, J v> = <J^T dy, v>, dtypes that stay, inputs that stay, NumPy's values."""

from typing import Any

import numpy as np
import pytest

from ops.layouts import LAYOUTS, arrange
from ops.numerical import along, relative_error
from ops.pairs import CASES, Case

SHAPES = ((0, 3), (1, 1), (1, 4), (5, 3), (2, 3, 2), (4,))


def to_library(backend: Any, x: Any, dtype: str = "float64") -> Any:
    """Return the library's array: floats of `dtype`, labels as indices; numbers stay."""
    if not isinstance(x, np.ndarray):
        return x
    if x.dtype == np.float64:
        return backend.asarray(x.astype(dtype))
    return backend.asarray(x, "index") if x.dtype == np.int64 else backend.asarray(x)


def settings_of(case: Case, rng: np.random.Generator) -> dict[str, float]:
    return {name: float(rng.uniform(low, high)) for name, (low, high) in case.ranges.items()}


def shapes_of(case: Case) -> list[tuple[int, ...]]:
    return [shape for shape in SHAPES if len(shape) in case.ndims]


def float_arrays(tree: Any) -> list[Any]:
    """Return the arrays of floats in nested tuples."""
    if isinstance(tree, tuple):
        return [array for part in tree for array in float_arrays(part)]
    return [tree] if hasattr(tree, "dtype") and "float" in str(tree.dtype) else []


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@every_case
def test_law(case, backend64):
    xp = backend64.xp
    rng = np.random.default_rng(7)
    for shape in shapes_of(case):
        own = settings_of(case, rng)
        inputs, constants = case.draw(rng, shape, own)
        fixed = [to_library(backend64, c) for c in constants]

        def f(*x: Any, fixed: Any = fixed, own: Any = own) -> Any:
            own_x = [to_library(backend64, a) for a in x]
            return backend64.to_numpy(case.forward(xp, *own_x, *fixed, **own)[0])

        y, residuals = case.forward(xp, *(to_library(backend64, x) for x in inputs), *fixed, **own)
        dy = rng.normal(size=y.shape)
        grads = case.backward(xp, residuals, to_library(backend64, np.asarray(dy)), own)
        v = [rng.normal(size=x.shape) for x in inputs]
        pairs = zip(grads, v, strict=False)
        right = sum(float(np.sum(backend64.to_numpy(grad) * a)) for grad, a in pairs)
        jv = along(f, inputs, v)
        left = float(np.sum(dy * jv))
        scale = float(np.linalg.norm(dy) * np.linalg.norm(jv)) + 1e-3 * float(np.linalg.norm(dy))
        assert relative_error(right, left, scale) <= 1e-6


@every_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_stays_and_values_are_numpys(case, dtype, backend64):
    xp = backend64.xp
    rng = np.random.default_rng(11)
    for shape in shapes_of(case)[-2:]:
        own = settings_of(case, rng)
        inputs, constants = case.draw(rng, shape, own)
        args = [to_library(backend64, x, dtype) for x in (*inputs, *constants)]
        y, residuals = case.forward(xp, *args, **own)
        dy = to_library(backend64, np.asarray(rng.normal(size=y.shape)), dtype)
        grads = case.backward(xp, residuals, dy, own)
        expected = getattr(xp, dtype)
        arrays = float_arrays((y, residuals, grads))
        assert all(array.dtype == expected for array in arrays)
        ours, kept = case.forward(np, *inputs, *constants, **own)
        reference = case.backward(np, kept, backend64.to_numpy(dy).astype("float64"), own)
        tolerance = 1e-12 if dtype == "float64" else 2e-4
        for array, truth in zip((y, *grads[: len(inputs)]), (ours, *reference), strict=False):
            scale = 1.0 + float(np.max(np.abs(truth), initial=0.0))
            assert relative_error(backend64.to_numpy(array), truth, scale) <= tolerance


@pytest.mark.parametrize(
    "case", [c for c in CASES if "losses" in c.proves.__module__], ids=lambda case: case.name
)
def test_dloss_may_be_a_number(case):
    rng = np.random.default_rng(3)
    own = settings_of(case, rng)
    inputs, constants = case.draw(rng, (3, 2), own)
    y, residuals = case.forward(np, *inputs, *constants, **own)
    assert y.shape == ()
    number = case.backward(np, residuals, 0.5, own)
    array = case.backward(np, residuals, np.asarray(0.5), own)
    np.testing.assert_array_equal(number[0], array[0])


@every_case
def test_every_layout_gives_the_same_and_keeps_its_inputs(case):
    rng = np.random.default_rng(5)
    own = settings_of(case, rng)
    inputs, constants = case.draw(rng, (4, 3), own)
    results = {}
    for layout in LAYOUTS:
        args = [arrange(x, layout) for x in (*inputs, *constants)]
        copies = [np.array(arg) for arg in args]
        y, residuals = case.forward(np, *args, **own)
        dy = arrange(np.ones(y.shape), layout)
        results[layout] = (y, *case.backward(np, residuals, dy, own))
        for arg, copy in zip(args, copies, strict=True):
            np.testing.assert_array_equal(arg, copy)
    for layout in LAYOUTS[1:]:
        for one, other in zip(results["C"], results[layout], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("rows", [0, 1])
@every_case
def test_empty_and_single_batches_have_the_inputs_shapes(case, rows, backend64):
    rng = np.random.default_rng(1)
    own = settings_of(case, rng)
    shape = (rows, 3) if 2 in case.ndims else (rows,)
    inputs, constants = case.draw(rng, shape, own)
    args = [to_library(backend64, x) for x in (*inputs, *constants)]
    y, residuals = case.forward(backend64.xp, *args, **own)
    dy = to_library(backend64, np.ones(y.shape))
    grads = case.backward(backend64.xp, residuals, dy, own)
    for x, grad in zip(inputs, grads, strict=False):
        host = backend64.to_numpy(grad)
        assert host.shape == x.shape
        assert np.all(np.isfinite(host))
        if rows == 0:
            assert not np.any(host)
