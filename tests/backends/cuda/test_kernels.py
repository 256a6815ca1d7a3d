"""Generated kernels, without a GPU: NVIDIA's compiler takes them, and run as C they compute what
eager execution does, whichever thread comes first.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import chainrule as cr
from backends.agreement import (
    HALF,
    LOSSES,
    assert_agree,
    assert_gradients_agree,
    assert_same_specials,
)
from backends.cuda import nvrtc, standin
from backends.cuda.standin import backwards, on_device, scattered
from backends.test_native_models import (
    ACTIVATIONS,
    OPTIMIZER_CASES,
    OTHERS,
    Problem,
    problems,
    run,
)
from chainrule import tree
from chainrule.backends.cuda.source import make_source
from chainrule.backends.planning import plan
from chainrule.losses import SoftmaxCrossEntropy


@pytest.fixture(autouse=True)
def device() -> Iterator[standin.Recorder]:
    with standin.installed() as device:
        yield device


@settings(max_examples=40)
@given(problems(dtype="float64", steps=1))
def test_gradients_float64(problem: Problem) -> None:
    assert_gradients_agree(on_device, problem)


@settings(max_examples=20)
@given(problems(dtype="float32", steps=1))
def test_gradients_float32(problem: Problem) -> None:
    assert_gradients_agree(backwards, problem)


@settings(max_examples=30)
@given(problems(dtype="float32", steps=3))
def test_states_float32(problem: Problem) -> None:
    assert_agree(scattered, problem.step(), problem, problem.state(), 3e-5, 2.0**-23)


@settings(max_examples=20)
@given(problems(dtype="float32", half=True, steps=3))
def test_states_float16(problem: Problem) -> None:
    assert_agree(on_device, problem.step(), problem, problem.state(), HALF, 2.0**-11)


SHAPES = {
    "columns in shares": (cr.Sequential(cr.Dense(300), cr.ReLU(), cr.Dense(3)), (5,), 90),
    "rows in teams": (cr.Sequential(cr.LayerNorm(), cr.Dense(4), cr.LayerNorm()), (300,), 40),
    "a row in turns": (cr.Sequential(cr.LayerNorm(), cr.Dense(2)), (700,), 5),
    "three axes": (cr.Sequential(cr.LayerNorm(), cr.Flatten(), cr.Dense(2)), (3, 5), 70),
    "means of columns": (cr.Sequential(cr.BatchNorm(), cr.Flatten(), cr.Dense(2)), (2, 3), 200),
    "one of everything": (cr.Sequential(cr.Dense(1)), (1,), 1),
    "one column": (cr.Sequential(cr.Softmax(), cr.Dense(1), cr.Softmax()), (4,), 50),
}


@pytest.mark.parametrize("case", SHAPES)
@pytest.mark.parametrize("compiler", [on_device, backwards, scattered])
def test_shapes(case: str, compiler: Any) -> None:
    net, in_shape, rows = SHAPES[case]
    loss, rule = cr.losses.SquaredError(), cr.adam(0.01)
    problem = Problem(net, loss, rule, (), in_shape, rows, rows, 1, True, "float64", 1)
    assert_gradients_agree(compiler, problem)


def test_the_order_of_threads_changes_no_bit() -> None:
    net = cr.Sequential(
        cr.LayerNorm(), cr.Dense(270), cr.BatchNorm(), cr.GELU(), cr.Dropout(0.2), cr.Dense(7)
    )
    loss, rule = SoftmaxCrossEntropy(), cr.adam(0.01)
    chosen = (("clip_norm", 0.5), ("l2", 0.01))
    problem = Problem(net, loss, rule, chosen, (20,), 90, 80, 3, False, "float32", 3)
    given = problem.state(), problem.data(), problem.controls()
    compilers = (on_device, backwards, scattered)
    ends = [run(compiler(problem.step()), *given) for compiler in compilers]
    first, *others = (tree.flatten({"s": s, "m": m}) for s, m in ends)
    for name, value in first.items():
        assert all(value.tobytes() == other[name].tobytes() for other in others), name


FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "exp": lambda xp, x: xp.exp(x),
    "expm1": lambda xp, x: xp.expm1(x),
    "log": lambda xp, x: xp.log(x),
    "log1p": lambda xp, x: xp.log1p(x),
    "tanh": lambda xp, x: xp.tanh(x),
    "sqrt": lambda xp, x: xp.sqrt(x),
    "sign": lambda xp, x: xp.sign(x),
    "floor": lambda xp, x: xp.floor(x),
    "round": lambda xp, x: xp.round(x),
    "neg": lambda xp, x: -x,
    "abs": lambda xp, x: xp.abs(x),
    "reciprocal": lambda xp, x: 1.0 / x,
    "square": lambda xp, x: x * x,
    "maximum": lambda xp, x: xp.maximum(x, 0.5),
    "minimum": lambda xp, x: xp.minimum(0.5, x),
    "where": lambda xp, x: xp.where(x > 0.0, x, -x),
    "isfinite": lambda xp, x: xp.astype(xp.isfinite(x), x.dtype),
    "isnan": lambda xp, x: xp.astype(xp.isnan(x), x.dtype),
    "difference": lambda xp, x: x - xp.floor(x),
}
EXACT = frozenset(FUNCTIONS) - {"exp", "expm1", "log", "log1p", "tanh"}


def special_values(dtype: str) -> Any:
    """Return zeros, infinities, NaN, denormals, the ends of the range and random numbers."""
    info = np.finfo(dtype)
    rng = np.random.default_rng(0)
    ends = [0.0, np.inf, np.nan, info.tiny, info.smallest_subnormal, info.max, info.eps, 1.0, 0.5]
    wide = rng.normal(size=200) * 10.0 ** rng.uniform(-12, 6, size=200)
    denormal = rng.uniform(size=50) * float(info.tiny)
    with np.errstate(all="ignore"):
        return np.concatenate([ends, np.negative(ends), wide, denormal]).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_functions_of_special_values(dtype: str) -> None:
    """Bit for bit where IEEE 754 says so, within 2 units in the last place elsewhere."""
    x = special_values(dtype)

    def step(xp: Any, state: Any, batch: Any) -> Any:
        own = state["x"]
        return {"x": own} | {n: f(xp, own) for n, f in FUNCTIONS.items()}, {"loss": xp.sum(own)}

    state = {"x": x} | {name: np.zeros_like(x) for name in FUNCTIONS}
    controls = {"indices": np.zeros((1, 1), np.int64), "learning_rate": np.zeros(1, dtype)}
    data = {"x": np.zeros((1, 1), dtype)}
    found, _ = run(on_device(step), state, data, controls)
    wide = np.float64 if dtype != "float64" else np.longdouble
    for name, function in FUNCTIONS.items():
        with np.errstate(all="ignore"):
            own = function(np, x)
            exact = function(np, x.astype(wide)).astype(wide)
            near = exact.astype(dtype)
        if name in EXACT:
            np.testing.assert_array_equal(found[name], own, err_msg=name)
            np.testing.assert_array_equal(np.signbit(found[name]), np.signbit(own), err_msg=name)
            continue
        finite = np.isfinite(near)
        np.testing.assert_array_equal(found[name][~finite], near[~finite], err_msg=name)
        error = np.abs(found[name][finite].astype(wide) - exact[finite])
        assert np.all(error <= 2.0 * np.abs(np.spacing(near[finite]))), name


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=["nan", "inf", "-inf"])
@pytest.mark.parametrize("layer", [*ACTIVATIONS, *OTHERS], ids=repr)
def test_nan_and_inf_in_inputs(layer: Any, value: float) -> None:
    net = cr.Sequential(layer, cr.Dense(3), layer, cr.Dense(2))
    assert_same_specials(on_device, net, cr.losses.SquaredError(), value, "x")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=["nan", "inf", "-inf"])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_nan_and_inf_in_losses(loss: Any, value: float) -> None:
    net = cr.Sequential(cr.Dense(3), cr.Tanh(), cr.Dense(2))
    assert_same_specials(on_device, net, loss, value, "x")


EVERYTHING = cr.Sequential(
    *(layer for layer in ACTIVATIONS), cr.Dense(40), *OTHERS, cr.Dense(300), cr.ReLU(), cr.Dense(3)
)


def assert_compiles(problem: Problem, architecture: str) -> None:
    data, controls, state = problem.data(), problem.controls(), problem.state()
    program = plan(problem.step(), state, data, controls, parallel=True)
    stepped = {n: a.size for n, a in program.arrays.items() if n.startswith(("contr", "metr"))}
    said = nvrtc.compiled(make_source(program, stepped).text, architecture)
    assert "bytes spill stores" in said
    assert "0 bytes stack frame, 0 bytes spill stores" in said
    assert all(" 0 bytes spill stores" in line for line in said.splitlines() if "spill" in line)


@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("rule", OPTIMIZER_CASES, ids=repr)
def test_nvidias_compiler_takes_every_optimizer(rule: Any, architecture: str) -> None:
    net = cr.Sequential(cr.Dense(40), cr.ReLU(), cr.Dense(3))
    chosen = (("clip_norm", 0.5), ("l1", 0.01), ("l2", 0.01))
    loss = SoftmaxCrossEntropy()
    problem = Problem(net, loss, rule, chosen, (20,), 64, 64, 1, True, "float32", 1)
    assert_compiles(problem, architecture)


@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_nvidias_compiler_takes_every_layer_and_loss(
    loss: Any, dtype: str, architecture: str
) -> None:
    half = dtype == "float16"
    chosen = (("short", "float16"),) if half else (("micro_batch", 16),)
    own = "float32" if half else dtype
    problem = Problem(EVERYTHING, loss, cr.adam(0.01), chosen, (20,), 64, 64, 1, True, own, 1)
    assert_compiles(problem, architecture)


@settings(max_examples=15)
@given(problems(dtype="float32", steps=1))
def test_nvidias_compiler_takes_random_problems(problem: Problem) -> None:
    assert_compiles(problem, "sm_90")
