"""Random training problems: every layer, loss and optimizer, and that none is forgotten."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

import chainrule as cr
from chainrule import tree
from chainrule.backends import get
from chainrule.backends.scan import eager_scan
from chainrule.layers import LAYERS
from chainrule.layers.layer import init_running, is_random
from chainrule.losses import LOSSES, Huber, SigmoidCrossEntropy, SoftmaxCrossEntropy
from chainrule.ops.random import Rng, host_key
from chainrule.optim import OPTIMIZERS
from chainrule.train import loss_scale
from chainrule.train.step import make_step

ACTIVATIONS: tuple[Any, ...] = (
    cr.ReLU(), cr.LeakyReLU(), cr.LeakyReLU(slope=0.3), cr.ELU(), cr.ELU(alpha=0.7), cr.GELU(),
    cr.GELU(approximate=True), cr.SiLU(), cr.Softplus(), cr.Sigmoid(), cr.Tanh(), cr.Softmax(),
)  # fmt: skip
OTHERS: tuple[Any, ...] = (
    cr.Dropout(0.4), cr.Dropout(0.0), cr.BatchNorm(), cr.BatchNorm(momentum=1.0), cr.LayerNorm(),
)  # fmt: skip
EPS = 0.01
"""Added to the denominators of optimizers: large, so that a gradient which is 0 but for rounding is
not enlarged to a whole step."""

OPTIMIZER_CASES: tuple[Any, ...] = (
    cr.sgd(0.1), cr.sgd(0.1, momentum=0.9), cr.sgd(0.1, momentum=0.9, nesterov=True),
    cr.adam(0.05, eps=EPS), cr.adam(0.05, b1=0.0, eps=EPS), cr.amsgrad(0.05, eps=EPS),
    cr.adamw(0.05, weight_decay=0.1, eps=EPS), cr.adamax(0.05, eps=EPS), cr.nadam(0.05, eps=EPS),
    cr.adagrad(0.1, eps=EPS), cr.adagrad(0.1, initial=0.2, eps=EPS), cr.adadelta(1.0, eps=EPS),
    cr.rmsprop(0.01, eps=EPS), cr.rmsprop(0.01, momentum=0.5, eps=EPS),
    cr.rmsprop(0.01, centered=True, eps=EPS),
    cr.rmsprop(0.01, momentum=0.5, centered=True, eps=EPS),
)  # fmt: skip
REGRESSION = (cr.losses.SquaredError(), cr.losses.AbsoluteError(), Huber(), Huber(delta=0.1))


@dataclass(frozen=True)
class Problem:
    """A step with all it needs; `steps` controls each name `rows` rows of the data."""

    net: Any
    loss: Any
    optimizer: Any
    settings: tuple[tuple[str, Any], ...]
    in_shape: tuple[int, ...]
    samples: int
    rows: int
    steps: int
    weighted: bool
    dtype: str
    seed: int

    @property
    def half(self) -> bool:
        return ("short", "float16") in self.settings

    def step(self) -> Any:
        return make_step(self.net, self.loss, self.optimizer, **dict(self.settings))

    def state(self) -> Any:
        params, _ = self.net.init(Rng(self.seed, "init"), self.in_shape)
        rng = np.random.default_rng(self.seed)
        params = tree.map(lambda p: p + 0.1 * rng.normal(size=p.shape), params)
        own = tree.map(lambda p: p.astype(self.dtype), params)
        running = tree.map(lambda p: p.astype(self.dtype), init_running(self.net, params))
        state = {"params": own, "running": running, "optimizer": self.optimizer.init(np, own)}
        if self.half:
            state["scale"] = loss_scale.start(np, own)
        return state

    def data(self) -> Any:
        rng = np.random.default_rng(self.seed + 1)
        _, out_shape = self.net.init(Rng(0), self.in_shape)
        x = rng.normal(size=(self.samples, *self.in_shape))
        if self.loss.task == "classification":
            y: Any = rng.integers(out_shape[-1], size=self.samples)
            if self.seed % 3 == 0:
                y = rng.dirichlet(np.ones(out_shape[-1]), size=self.samples).astype(self.dtype)
        elif self.loss.task == "binary":
            y = rng.random((self.samples, *out_shape)).astype(self.dtype)
        else:
            y = rng.normal(size=(self.samples, *out_shape)).astype(self.dtype)
        data = {"x": x.astype(self.dtype), "y": y}
        if self.weighted:
            data["weight"] = rng.integers(0, 4, size=self.samples).astype(self.dtype)
        return data

    def controls(self, rows: int | None = None, first: int = 0) -> Any:
        rng = np.random.default_rng(self.seed + 2 + first)
        size = self.rows if rows is None else rows
        orders = [rng.permutation(self.samples)[:size] for _ in range(self.steps)]
        rates = self.optimizer.lr / (1.0 + np.arange(self.steps))
        controls = {
            "indices": np.stack(orders),
            "learning_rate": rates.astype(self.dtype),
        }
        if is_random(self.net):
            keys = [host_key(self.seed, first + number) for number in range(self.steps)]
            controls["key"] = np.stack(keys)
        return controls


def run(scan: Any, state: Any, data: Any, controls: Any) -> tuple[Any, Any]:
    """Run a scan to its end; return the state and the metrics, leaving `state` as it is."""
    state = tree.map(lambda leaf: np.array(leaf), state)
    metrics: Any = {}
    with np.errstate(all="ignore"):
        for after, _, found in scan(state, data, controls):
            state, metrics = after, found or metrics
    return state, metrics


def eagerly(problem: Problem, state: Any, data: Any, controls: Any) -> tuple[Any, Any]:
    """Run the problem's step on NumPy as it stands."""
    backend = get("numpy", problem.dtype)
    return run(eager_scan(backend, problem.step()), state, data, controls)


LAST = {"classification": 2, "binary": 1, "regression": 1}


@st.composite
def networks(draw: Any, task: str, rows: int) -> tuple[Any, tuple[int, ...]]:
    """Draw a network and the shape of its inputs."""
    size = st.integers(1, 6)
    in_shape = tuple(draw(st.lists(size, min_size=1, max_size=3)))
    layers: list[Any] = []
    others = [layer for layer in OTHERS if rows > 1 or not isinstance(layer, cr.BatchNorm)]
    middle = st.sampled_from((*ACTIVATIONS, *others))
    if len(in_shape) > 1:
        layers += draw(st.lists(middle, max_size=2))
        layers.append(cr.Flatten())
    for _ in range(draw(st.integers(0, 2))):
        block = [cr.Dense(draw(size), use_bias=draw(st.booleans()))]
        block += draw(st.lists(middle, max_size=2))
        layers += [cr.Sequential(*block)] if draw(st.booleans()) else block
    outputs = draw(st.integers(LAST[task], 4))
    layers.append(cr.Dense(outputs, use_bias=draw(st.booleans())))
    if task == "regression":
        layers += draw(st.lists(st.sampled_from(ACTIVATIONS), max_size=1))
    return cr.Sequential(*layers), in_shape


@st.composite
def losses(draw: Any) -> Any:
    """Draw a loss; class weights fit any number of classes after `fitted`."""
    smoothing = draw(st.sampled_from((0.0, 0.1)))
    weighted = draw(st.booleans())
    return draw(
        st.sampled_from((
            *REGRESSION,
            SoftmaxCrossEntropy(smoothing, (1.0, 2.0) if weighted else None),
            SigmoidCrossEntropy(smoothing, (1.0, 2.0) if weighted else None),
        ))
    )  # fmt: skip


def fitted(loss: Any, outputs: int) -> Any:
    """Give class weights the number of classes, or take them away where they cannot be."""
    if getattr(loss, "class_weight", None) is None:
        return loss
    if loss.task == "classification":
        return replace(loss, class_weight=tuple(0.5 + k for k in range(outputs)))
    return loss if outputs == 1 else replace(loss, class_weight=None)


@st.composite
def problems(draw: Any, dtype: str = "float64", half: bool = False, steps: int = 3) -> Problem:
    """Draw a whole training problem."""
    rows = draw(st.integers(1, 9))
    loss = draw(losses())
    settings: dict[str, Any] = {"short": "float16"} if half else {}
    for name, values in (
        ("l1", (0.0, 0.01)),
        ("l2", (0.0, 0.02)),
        ("clip_norm", (None, 0.3, 100.0)),
        ("clip_value", (None, 0.05)),
        ("micro_batch", (None, None, 1, 3)),
    ):
        settings[name] = draw(st.sampled_from(values))
    micro = settings["micro_batch"]
    two_rows = rows if micro is None else (1 if micro == 1 or rows % micro == 1 else 2)
    net, in_shape = draw(networks(loss.task, two_rows))
    _, out_shape = net.init(Rng(0), in_shape)
    return Problem(
        net=net,
        loss=fitted(loss, out_shape[-1]),
        optimizer=draw(st.sampled_from(OPTIMIZER_CASES)),
        settings=tuple(sorted(settings.items())),
        in_shape=in_shape,
        samples=draw(st.integers(rows, 12)),
        rows=rows,
        steps=steps,
        weighted=draw(st.booleans()),
        dtype=dtype,
        seed=draw(st.integers(0, 999)),
    )


def test_every_layer_is_drawn() -> None:
    drawn = {type(layer).__name__ for layer in (*ACTIVATIONS, *OTHERS)}
    assert drawn | {"Dense", "Flatten", "Sequential"} == set(LAYERS)


def test_every_loss_is_drawn() -> None:
    drawn = {loss.name for loss in REGRESSION}
    assert drawn | {"softmax_cross_entropy", "sigmoid_cross_entropy"} == set(LOSSES)


def test_every_optimizer_is_drawn() -> None:
    drawn = {optimizer.name for optimizer in OPTIMIZER_CASES}
    whole_batches = {name for name, rule in OPTIMIZERS.items() if hasattr(rule, "iterate")}
    assert drawn == {OPTIMIZERS[name]().name for name in OPTIMIZERS} - whole_batches
