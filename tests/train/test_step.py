"""The step: equal to PyTorch's, pure, and without a look at any value."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import tree
from chainrule.layers.layer import init_running
from chainrule.losses import Huber, SigmoidCrossEntropy, SoftmaxCrossEntropy
from chainrule.ops.random import Rng, host_key
from chainrule.train.step import make_step
from train.guarded import GuardedArray, GuardedNamespace, guard
from train.problems import assert_close, on_host

NETS = {
    "relu": cr.Sequential(cr.Dense(6), cr.ReLU(), cr.Dense(3)),
    "deep": cr.Sequential(
        cr.Dense(6), cr.LayerNorm(), cr.GELU(), cr.Sequential(cr.Dense(5), cr.SiLU()), cr.Dense(3)
    ),
    "batch norm": cr.Sequential(
        cr.Dense(6, use_bias=False), cr.BatchNorm(), cr.Tanh(), cr.Dense(3)
    ),
    "dropout": cr.Sequential(cr.Dense(6), cr.ELU(), cr.Dropout(0.4), cr.Dense(3)),
}
ALL_LAYERS = NETS["all"] = cr.Sequential(
    cr.Flatten(),
    cr.Dense(6, use_bias=False),
    cr.BatchNorm(),
    cr.Sequential(cr.LayerNorm(), cr.GELU(), cr.Dense(5, use_bias=False)),
    cr.Softplus(),
    cr.Dropout(0.3),
    cr.GELU(approximate=True),
    cr.LeakyReLU(),
    cr.ELU(),
    cr.ReLU(),
    cr.SiLU(),
    cr.Sigmoid(),
    cr.Tanh(),
    cr.Softmax(),
    cr.Dense(3),
)
RULES = {
    "sgd": cr.sgd(0.1, momentum=0.9, nesterov=True),
    "plain sgd": cr.sgd(0.1),
    "adagrad": cr.adagrad(0.1),
    "adadelta": cr.adadelta(1.0),
    "rmsprop": cr.rmsprop(0.01, momentum=0.5),
    "adam": cr.adam(0.01),
    "adamw": cr.adamw(0.01),
    "adamax": cr.adamax(0.01),
    "nadam": cr.nadam(0.01),
    "amsgrad": cr.amsgrad(0.01),
}


def start(net: Any, optimizer: Any, in_shape: tuple[int, ...] = (4,)) -> Any:
    """Return the initial state as NumPy arrays."""
    params, _ = net.init(Rng(3), in_shape)
    return {
        "params": params,
        "running": init_running(net, params),
        "optimizer": optimizer.init(np, params),
    }


def batches(loss: str, count: int = 3, rows: int = 7, weighted: bool = False) -> list[Any]:
    rng = np.random.default_rng(5)
    made = []
    for number in range(count):
        targets = {
            "softmax_cross_entropy": rng.integers(3, size=rows),
            "sigmoid_cross_entropy": rng.random((rows, 3)),
        }
        made.append(
            {
                "x": rng.normal(size=(rows, 4)),
                "y": targets.get(loss, rng.normal(size=(rows, 3))),
                "learning_rate": np.asarray(0.1 / (number + 1)),
                "key": host_key(3, number),
            }
            | ({"weight": rng.random(rows)} if weighted else {})
        )
    return made


def on_backend(backend: Any, arrays: Any) -> Any:
    """Return a tree on the backend: integers keep their kind, floats become its own."""
    return tree.map(
        lambda a: backend.asarray(
            a, "float" if a.dtype.kind == "f" else "int32" if a.dtype == np.int32 else "index"
        ),
        arrays,
    )


@pytest.mark.parametrize(
    ("net", "loss", "weighted"),
    [
        ("relu", SoftmaxCrossEntropy(0.1, class_weight=(1.0, 2.0, 0.5)), True),
        ("deep", SigmoidCrossEntropy(), False),
        ("batch norm", Huber(0.5), True),
        ("dropout", Huber(0.5), False),
        ("all", SoftmaxCrossEntropy(), False),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_steps_agree_on_every_library(backend64, net, loss, weighted):
    optimizer = cr.nadam(0.05)
    step = make_step(NETS[net], loss, optimizer, l1=1e-3, l2=1e-2, clip_norm=0.5, clip_value=0.3)
    host = start(NETS[net], optimizer)
    own = tree.map(lambda a: backend64.xp.asarray(a, copy=True), on_backend(backend64, host))
    run = backend64.compile(lambda state, batch: step(backend64.xp, state, batch), donate=(0,))
    for batch in batches(loss.name, weighted=weighted):
        host, expected = step(np, host, batch)
        own, metrics = run(own, on_backend(backend64, batch))
        assert_close(on_host(backend64, metrics), expected, 1e-12)
    assert_close(on_host(backend64, own), tree.flatten(host), 1e-11)


@pytest.mark.parametrize("rule", RULES)
def test_a_step_changes_none_of_its_arguments(rule):
    optimizer = RULES[rule]
    step = make_step(ALL_LAYERS, SoftmaxCrossEntropy(), optimizer, l1=0.1, clip_norm=1.0)
    state, (batch,) = start(ALL_LAYERS, optimizer), batches("softmax_cross_entropy", 1)
    before = {k: v.copy() for k, v in tree.flatten({"state": state, "batch": batch}).items()}
    for leaf in tree.leaves({"state": state, "batch": batch}):
        leaf.flags.writeable = False
    after, _ = step(np, state, batch)
    again, _ = step(np, state, batch)
    assert_close(tree.flatten(again), tree.flatten(after), 0.0)
    assert_close(tree.flatten({"state": state, "batch": batch}), before, 0.0)
    assert not np.array_equal(after["params"]["1"]["weight"], state["params"]["1"]["weight"])
    assert tree.flatten(after).keys() == tree.flatten(state).keys()


@pytest.mark.parametrize("short", [None, "float16"])
@pytest.mark.parametrize("micro_batch", [None, 3])
@pytest.mark.parametrize("rule", RULES)
def test_a_step_reads_nothing_on_the_host(rule, micro_batch, short):
    optimizer, xp = RULES[rule], GuardedNamespace(np)
    step = make_step(
        ALL_LAYERS,
        SoftmaxCrossEntropy(0.1, class_weight=(1.0, 2.0, 3.0)),
        optimizer,
        l1=0.1,
        l2=0.1,
        clip_norm=1.0,
        clip_value=1.0,
        micro_batch=micro_batch,
        short=short,
    )
    state, (batch,) = start(ALL_LAYERS, optimizer), batches("softmax_cross_entropy", 1, 8, True)
    if short:
        state = tree.map(lambda a: a.astype(np.float32), state)
        state["scale"] = {"factor": np.float32(1024.0), "since": np.float32(0.0)}
        batch = {k: v.astype(np.float32) if v.dtype == float else v for k, v in batch.items()}
    expected, expected_metrics = step(np, state, batch)
    found, metrics = step(xp, tree.map(guard, state), tree.map(guard, batch))
    leaves = tree.flatten({"state": found, "metrics": metrics})
    assert all(isinstance(leaf, GuardedArray) for leaf in leaves.values())
    open_leaves = {name: leaf.unguarded() for name, leaf in leaves.items()}
    assert_close(open_leaves, tree.flatten({"state": expected, "metrics": expected_metrics}), 0.0)


def test_the_guard_guards():
    guarded = guard(np.asarray(1.0))
    for look in (float, int, bool, np.asarray, list, lambda a: a.item(), lambda a: a.tolist()):
        with pytest.raises(AssertionError, match="read on the host"):
            look(guarded)


def test_the_loss_is_the_mean_without_penalties():
    net, loss = NETS["relu"], SoftmaxCrossEntropy()
    state, (batch,) = start(net, cr.sgd(0.1)), batches("softmax_cross_entropy", 1, weighted=True)
    _, plain = make_step(net, loss, cr.sgd(0.1))(np, state, batch)
    _, penalised = make_step(net, loss, cr.sgd(0.1), l1=1.0, l2=1.0)(np, state, batch)
    logits, _ = net.forward(np, state["params"], batch["x"])
    rows = np.log(np.sum(np.exp(logits), axis=1)) - logits[np.arange(7), batch["y"]]
    assert plain["loss"] == pytest.approx(np.average(rows, weights=batch["weight"]), rel=1e-14)
    assert plain["weight"] == pytest.approx(batch["weight"].sum(), rel=1e-15)
    assert penalised == plain


def test_weights_that_are_all_zero_give_no_nan():
    net = NETS["relu"]
    state, (batch,) = start(net, cr.sgd(0.1)), batches("softmax_cross_entropy", 1)
    batch["weight"] = np.zeros(7)
    after, metrics = make_step(net, SoftmaxCrossEntropy(), cr.sgd(0.1))(np, state, batch)
    assert metrics == {"loss": 0.0, "weight": 0.0}
    assert_close(tree.flatten(after["params"]), tree.flatten(state["params"]), 0.0)
