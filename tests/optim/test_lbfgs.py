"""L-BFGS: PyTorch's steps without a line search, the strong Wolfe conditions with one."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from chainrule import optim, tree
from chainrule.errors import InputError
from chainrule.optim.lbfgs import two_loop
from chainrule.optim.line_search import CURVATURE, SUFFICIENT_DECREASE, Trial, strong_wolfe


def counted(evaluate: Any) -> Any:
    def count(params: Any) -> Any:
        count.calls += 1
        return evaluate(params)

    count.calls = 0
    return count


def iterate(optimizer: Any, problem: Any, steps: int, xp: Any = np) -> tuple[Any, Any, list[float]]:
    params, state, losses = problem.params, optimizer.init(xp, problem.params), []
    for _ in range(steps):
        params, state, loss = optimizer.iterate(xp, problem.evaluate, params, state)
        losses.append(float(loss))
        if float(state["stopped"]):
            break
    return params, state, losses


def rosenbrock(n: int) -> SimpleNamespace:
    """The chained Rosenbrock function of n variables from its usual start."""

    def evaluate(params: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        x = params["x"]
        rise, rest = x[1:] - x[:-1] ** 2, 1 - x[:-1]
        grad = np.zeros_like(x)
        grad[1:] += 200 * rise
        grad[:-1] -= 400 * x[:-1] * rise + 2 * rest
        return 100 * rise @ rise + rest @ rest, {"x": grad}

    start = np.tile([-1.2, 1.0], n // 2)
    return SimpleNamespace(params={"x": start}, evaluate=evaluate)


def logistic() -> SimpleNamespace:
    """Logistic regression with an L2 penalty: strictly convex, condition number about 100."""
    rng = np.random.default_rng(13)
    inputs = rng.standard_normal((60, 8)) * np.logspace(0.5, -0.5, 8)
    labels = (inputs.sum(axis=1) + rng.standard_normal(60) > 0).astype(np.float64)

    def evaluate(params: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        logits = inputs @ params["weight"] + params["bias"]
        error = (1 / (1 + np.exp(-logits)) - labels) / len(labels)
        loss = np.mean(np.logaddexp(0, logits) - labels * logits)
        weight = params["weight"]
        grads = {"weight": inputs.T @ error + 0.01 * weight, "bias": error.sum(keepdims=True)}
        return loss + 0.005 * weight @ weight, grads

    return SimpleNamespace(params={"weight": np.ones(8), "bias": np.ones(1)}, evaluate=evaluate)


def assert_the_steps_are_torchs(problem: Any, steps: int, lr: float, history: int) -> None:
    torch = pytest.importorskip("torch")
    flat = {
        path: torch.tensor(leaf, requires_grad=True)
        for path, leaf in sorted(tree.flatten(problem.params).items())
    }
    off = {"tolerance_grad": 0.0, "tolerance_change": 0.0}
    theirs = torch.optim.LBFGS(list(flat.values()), lr, max_iter=1, history_size=history, **off)
    paths = iter(tree.flatten(problem.params))
    named = tree.map(lambda leaf: next(paths), problem.params)

    def closure() -> Any:
        now = tree.map(lambda path: flat[path].detach().numpy(), named)
        loss, grads = problem.evaluate(now)
        for path, grad in tree.flatten(grads).items():
            flat[path].grad = torch.tensor(grad)
        return torch.tensor(loss)

    optimizer = optim.lbfgs(lr, history, line_search=None, **off)
    params, state = problem.params, optimizer.init(np, problem.params)
    for _ in range(steps):
        theirs.step(closure)
        params, state, _ = optimizer.iterate(np, problem.evaluate, params, state)
        ours = tree.flatten(params)
        expected = {path: leaf.detach().numpy() for path, leaf in flat.items()}
        scale = max(float(np.abs(leaf).max()) for leaf in expected.values())
        for path, leaf in expected.items():
            assert np.abs(ours[path] - leaf).max() <= 1e-10 * scale


@pytest.mark.parametrize("history", [3, 10])
@pytest.mark.parametrize("lr", [1.0, 0.3])
def test_without_line_search_a_thousand_steps_are_torchs(lr, history):
    assert_the_steps_are_torchs(logistic(), 1000, lr, history)


@pytest.mark.parametrize("history", [3, 10])
def test_the_first_steps_on_hard_problems_are_torchs(problem, history):
    """They amplify rounding: later, PyTorch parts from itself after a change of one ulp."""
    assert_the_steps_are_torchs(problem, 30, 0.3, history)


def test_two_loop_is_the_bfgs_matrix():
    rng = np.random.default_rng(2)
    n, pairs = 6, 4
    root = rng.standard_normal((n, n))
    hessian = root @ root.T + np.eye(n)
    s = [rng.standard_normal(n) for _ in range(pairs)]
    y = [hessian @ step for step in s]
    ys = [change @ step for change, step in zip(y, s, strict=True)]
    gamma = 0.7
    inverse = gamma * np.eye(n)
    for step, change, product in zip(s, y, ys, strict=True):
        v = np.eye(n) - np.outer(change, step) / product
        inverse = v.T @ inverse @ v + np.outer(step, step) / product
    grad = rng.standard_normal(n)
    actual = two_loop(np, grad, s, y, ys, gamma)
    np.testing.assert_allclose(actual, -inverse @ grad, rtol=1e-11, atol=1e-11)


FUNCTIONS = {
    "quadratic": (lambda a: (a - 3) ** 2, lambda a: 2 * (a - 3)),
    "quartic": (lambda a: (a - 1) ** 4 - a, lambda a: 4 * (a - 1) ** 3 - 1),
    "More & Thuente 1": (
        lambda a: -a / (a * a + 2),
        lambda a: (a * a - 2) / (a * a + 2) ** 2,
    ),
    "More & Thuente 2": (
        lambda a: (a + 0.004) ** 5 - 2 * (a + 0.004) ** 4,
        lambda a: 5 * (a + 0.004) ** 4 - 8 * (a + 0.004) ** 3,
    ),
    "wavy": (
        lambda a: -a - 0.1 * np.sin(8 * a) + 0.05 * a * a,
        lambda a: -1 - 0.8 * np.cos(8 * a) + 0.1 * a,
    ),
    "wall": (
        lambda a: a * a - a if a < 2 else np.inf,
        lambda a: 2 * a - 1 if a < 2 else np.nan,
    ),
}


@pytest.mark.parametrize("first", [1e-6, 1e-3, 0.1, 1.0, 10.0, 1e3])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_line_search_finds_a_strong_wolfe_step(function, first):
    value, slope = FUNCTIONS[function]
    calls = []

    def measure(length: float) -> Trial:
        calls.append(length)
        return Trial(length, float(value(length)), float(slope(length)), length)

    start = Trial(0.0, float(value(0.0)), float(slope(0.0)), None)
    found = strong_wolfe(measure, start, first, max_evaluations=40)
    assert found is not None
    assert found.length > 0
    assert found.kept == found.length
    assert found.loss <= start.loss + SUFFICIENT_DECREASE * found.length * start.slope
    assert abs(found.slope) <= CURVATURE * abs(start.slope)
    assert len(calls) <= 40


@pytest.mark.parametrize("evaluations", [1, 2, 3])
def test_the_line_search_stops_at_its_evaluations(evaluations):
    calls = []

    def measure(length: float) -> Trial:
        calls.append(length)
        return Trial(length, length**2 - 1e-9 * length, 2 * length - 1e-9, None)

    found = strong_wolfe(measure, Trial(0.0, 0.0, -1e-9, None), 1.0, max_evaluations=evaluations)
    assert found is None
    assert len(calls) == evaluations


def test_an_endless_descent_takes_the_furthest_step():
    found = strong_wolfe(
        lambda a: Trial(a, -a, -1.0, None), Trial(0.0, 0.0, -1.0, None), 1.0, max_evaluations=5
    )
    assert found is not None
    assert found.length == 4**4 + 4**3 + 4**2 + 4 + 1 - 0 or found.length > 100


@pytest.mark.parametrize("n", [2, 10, 100])
def test_rosenbrock_needs_about_as_many_evaluations_as_scipy(n):
    optimize = pytest.importorskip("scipy.optimize")
    problem = rosenbrock(n)
    evaluate = counted(problem.evaluate)
    optimizer = optim.lbfgs(tolerance_grad=1e-8, tolerance_change=0.0)
    params, state, losses = iterate(
        optimizer, SimpleNamespace(**{**vars(problem), "evaluate": evaluate}), 1000
    )

    def flat(x: Any) -> Any:
        loss, grads = problem.evaluate({"x": x})
        return loss, grads["x"]

    theirs = optimize.minimize(
        flat,
        problem.params["x"],
        jac=True,
        method="L-BFGS-B",
        options={"gtol": 1e-8, "ftol": 0, "maxcor": 10, "maxfun": 10**5, "maxiter": 10**4},
    )
    assert float(state["stopped"]) == 1
    assert np.abs(problem.evaluate(params)[1]["x"]).max() <= 1e-8
    assert evaluate.calls <= 1.5 * theirs.nfev + 10
    assert all(b < a for a, b in pairwise(losses))


def test_the_ill_conditioned_regression_is_solved(regression):
    optimizer = optim.lbfgs(tolerance_grad=1e-13, tolerance_change=0.0)
    params, _, _ = iterate(optimizer, regression, 500)
    np.testing.assert_allclose(params["weight"], regression.solution, rtol=0, atol=1e-6)


def test_every_step_on_the_network_satisfies_strong_wolfe(network):
    optimizer = optim.lbfgs()
    params, state = network.params, optimizer.init(np, network.params)

    def ravel(tree_: Any) -> np.ndarray:
        return np.concatenate([leaf.ravel() for _, leaf in sorted(tree.flatten(tree_).items())])

    for _ in range(60):
        loss, grads = network.evaluate(params)
        before, grad = ravel(params), ravel(grads)
        params, state, next_loss = optimizer.iterate(np, network.evaluate, params, state)
        step = ravel(params) - before
        next_grad = ravel(network.evaluate(params)[1])
        assert float(next_loss) == network.evaluate(params)[0]
        np.testing.assert_array_equal(state["grad"], next_grad)
        assert next_loss <= loss + SUFFICIENT_DECREASE * (grad @ step) * (1 - 1e-6)
        assert abs(next_grad @ step) <= CURVATURE * abs(grad @ step) * (1 + 1e-6)


@pytest.mark.parametrize("line_search", ["strong_wolfe", None])
def test_every_library_takes_numpys_steps(backend64, regression, line_search):
    optimizer = optim.lbfgs(line_search=line_search)

    def evaluate(params: Any) -> Any:
        loss, grads = regression.evaluate(tree.map(backend64.to_numpy, params))
        return backend64.asarray(np.asarray(loss)), tree.map(backend64.asarray, grads)

    moved = SimpleNamespace(
        params=tree.map(backend64.asarray, regression.params), evaluate=evaluate
    )
    actual, state, losses = iterate(optimizer, moved, 8, backend64.xp)
    expected, _, expected_losses = iterate(optimizer, regression, 8)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-9)
    weight = backend64.to_numpy(actual["weight"])
    np.testing.assert_allclose(weight, expected["weight"], rtol=1e-8, atol=1e-10)
    for leaf in tree.leaves(state):
        assert leaf.dtype == backend64.xp.float64
        assert not isinstance(leaf, np.generic)


def test_float32_stays_float32_and_stops(network):
    single = tree.map(lambda leaf: leaf.astype(np.float32), network.params)

    def evaluate(params: Any) -> Any:
        loss, grads = network.evaluate(params)
        return np.float32(loss), tree.map(lambda leaf: leaf.astype(np.float32), grads)

    problem = SimpleNamespace(params=single, evaluate=evaluate)
    params, state, losses = iterate(optim.lbfgs(tolerance_change=1e-6), problem, 2000)
    assert all(leaf.dtype == np.float32 for leaf in (*tree.leaves(params), *tree.leaves(state)))
    assert float(state["stopped"]) == 1
    assert losses[-1] < 0.05 * losses[0]


def test_inputs_are_not_modified_and_saved_states_continue(network):
    optimizer = optim.lbfgs(history=3)
    params, state, _ = iterate(optimizer, network, 7)
    for leaf in (*tree.leaves(params), *tree.leaves(state)):
        leaf.setflags(write=False)
    read = tree.unflatten(dict(sorted((p, a.copy()) for p, a in tree.flatten(state).items())))
    reordered = {key: params[key] for key in reversed(params)}
    first = optimizer.iterate(np, network.evaluate, params, state)
    second = optimizer.iterate(np, network.evaluate, reordered, read)
    assert list(first[0]) == list(params)
    for path, leaf in tree.flatten(first[0]).items():
        np.testing.assert_array_equal(leaf, tree.flatten(second[0])[path])
    before, after = tree.flatten(optimizer.init(np, network.params)), tree.flatten(first[1])
    assert {path: leaf.shape for path, leaf in before.items()} == {
        path: leaf.shape for path, leaf in after.items()
    }


def test_it_stops_at_a_minimum_without_further_evaluations(regression):
    evaluate = counted(regression.evaluate)
    optimizer = optim.lbfgs()
    params = {"weight": regression.solution}
    params, state, loss = optimizer.iterate(np, evaluate, params, optimizer.init(np, params))
    assert float(state["stopped"]) == 1
    assert evaluate.calls == 1
    again, same, same_loss = optimizer.iterate(np, evaluate, params, state)
    assert evaluate.calls == 1
    assert again is params
    assert same is state
    assert same_loss == loss


@pytest.mark.parametrize("line_search", ["strong_wolfe", None])
def test_a_loss_that_is_not_finite_stops_it(line_search):
    def evaluate(params: Any) -> Any:
        return np.asarray(np.nan), {"x": np.full(2, np.nan)}

    problem = SimpleNamespace(params={"x": np.ones(2)}, evaluate=evaluate)
    params, state, losses = iterate(optim.lbfgs(line_search=line_search), problem, 5)
    assert float(state["stopped"]) == 1
    assert np.isnan(losses[-1])
    np.testing.assert_array_equal(params["x"], np.ones(2))


def test_a_wrong_gradient_stops_it_at_the_start():
    def evaluate(params: Any) -> Any:
        return params["x"] @ params["x"], {"x": -2 * params["x"]}

    problem = SimpleNamespace(params={"x": np.ones(2)}, evaluate=evaluate)
    params, state, _ = iterate(optim.lbfgs(), problem, 5)
    assert float(state["stopped"]) == 1
    np.testing.assert_array_equal(params["x"], np.ones(2))


def test_a_history_that_misleads_is_forgotten(network):
    optimizer = optim.lbfgs()
    params, state, losses = iterate(optimizer, network, 5)
    broken = {**state, "gamma": -state["gamma"], "s": tree.map(np.zeros_like, state["s"])}
    _, after, loss = optimizer.iterate(np, network.evaluate, params, broken)
    assert float(loss) < losses[-1]
    assert float(after["pairs"]) == 1


def test_the_rate_may_follow_a_schedule(regression):
    scheduled = optim.lbfgs(optim.exponential(1.0, 0.5), line_search=None)
    params, _, _ = iterate(scheduled, regression, 1)
    fixed, _, _ = iterate(optim.lbfgs(1.0, line_search=None), regression, 1)
    np.testing.assert_array_equal(params["weight"], fixed["weight"])
    params, _, _ = iterate(scheduled, regression, 2)
    further, _, _ = iterate(optim.lbfgs(1.0, line_search=None), regression, 2)
    step = further["weight"] - fixed["weight"]
    np.testing.assert_allclose(params["weight"], fixed["weight"] + 0.5 * step, rtol=1e-13)


def test_no_parameters_are_refused():
    with pytest.raises(InputError, match=r"^params: no arrays in the tree"):
        optim.lbfgs().init(np, {"0": {}})
