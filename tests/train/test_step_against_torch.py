"""A step in float64 is PyTorch's: autograd, then torch.optim, then again."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import tree
from chainrule.losses import Huber, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from chainrule.ops.random import Rng
from chainrule.train.step import make_step
from train.problems import assert_close

torch = pytest.importorskip("torch")
F = torch.nn.functional

STEPS = 4
ROWS = 9


def forward(net: Any, params: Any, x: Any) -> Any:
    """Run a Sequential with PyTorch's own functions."""
    for number, layer in enumerate(net.layers):
        own = params.get(str(number), {})
        match type(layer).__name__:
            case "Dense":
                x = x @ own["weight"] + own.get("bias", 0.0)
            case "ReLU":
                x = F.relu(x)
            case "Tanh":
                x = torch.tanh(x)
            case "GELU":
                x = F.gelu(x)
            case "SiLU":
                x = F.silu(x)
            case "LayerNorm":
                x = F.layer_norm(x, x.shape[-1:], own["scale"], own["shift"], layer.eps)
            case "BatchNorm":
                x = F.batch_norm(
                    x, None, None, own["scale"], own["shift"], training=True, eps=layer.eps
                )
            case "Sequential":
                x = forward(layer, own, x)
            case other:
                raise NotImplementedError(other)
    return x


def softmax_loss(output: Any, y: Any, weight: Any) -> Any:
    each = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)[y]
    each = each if weight is None else each * weight
    rows = F.cross_entropy(output, y, label_smoothing=0.1, reduction="none")
    return (rows * each).sum() / each.sum()


def by_elements(function: Any, **settings: Any) -> Any:
    def loss(output: Any, y: Any, weight: Any) -> Any:
        rows = function(output, y, reduction="none", **settings).mean(dim=1)
        return rows.mean() if weight is None else (rows * weight).sum() / weight.sum()

    return loss


LOSSES = {
    "softmax": (SoftmaxCrossEntropy(0.1, class_weight=(1.0, 2.0, 0.5)), softmax_loss),
    "sigmoid": (SigmoidCrossEntropy(), by_elements(F.binary_cross_entropy_with_logits)),
    "squared": (SquaredError(), by_elements(F.mse_loss)),
    "huber": (Huber(0.7), by_elements(F.huber_loss, delta=0.7)),
}
NETS = {
    "relu": cr.Sequential(cr.Dense(6), cr.ReLU(), cr.Dense(3)),
    "norms": cr.Sequential(
        cr.Dense(6, use_bias=False), cr.BatchNorm(), cr.GELU(), cr.LayerNorm(), cr.Dense(3)
    ),
    "nested": cr.Sequential(cr.Sequential(cr.Dense(5), cr.SiLU()), cr.Tanh(), cr.Dense(3)),
}
# NAdam is left to tests/optim: PyTorch keeps its momentum product in float32.
RULES = {
    "sgd": (cr.sgd(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "nesterov": (
        cr.sgd(0.1, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    ),
    "adam": (cr.adam(0.05), lambda p: torch.optim.Adam(p, 0.05)),
    "amsgrad": (cr.amsgrad(0.05), lambda p: torch.optim.Adam(p, 0.05, amsgrad=True)),
    "adamw": (
        cr.adamw(0.05, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.1),
    ),
    "adamax": (cr.adamax(0.05), lambda p: torch.optim.Adamax(p, 0.05)),
    "adagrad": (cr.adagrad(0.05), lambda p: torch.optim.Adagrad(p, 0.05)),
    "adadelta": (cr.adadelta(1.0), lambda p: torch.optim.Adadelta(p, 1.0)),
    "rmsprop": (cr.rmsprop(0.01), lambda p: torch.optim.RMSprop(p, 0.01)),
}
PLAIN: dict[str, Any] = {}
PENALTIES: dict[str, Any] = {"l1": 0.01, "l2": 0.1}
CLIPPING: dict[str, Any] = {"clip_value": 0.05, "clip_norm": 0.1}


def made_batch(loss: str, weighted: bool, rng: Any) -> Any:
    y = {"softmax": rng.integers(3, size=ROWS), "sigmoid": rng.random((ROWS, 3))}
    batch = {"x": rng.normal(size=(ROWS, 4)), "y": y.get(loss, rng.normal(size=(ROWS, 3)))}
    return batch | ({"weight": rng.random(ROWS)} if weighted else {})


def torch_step(net: Any, loss: Any, rule: Any, params: Any, batch: Any, settings: Any) -> float:
    """Make one step on `params`, a tree of tensors; return the loss without penalties."""
    own = {name: torch.as_tensor(array) for name, array in batch.items()}
    value = loss(forward(net, params, own["x"]), own["y"], own.get("weight"))
    leaves = tree.flatten(params)
    weights = [leaf for name, leaf in leaves.items() if name.endswith("weight")]
    added = sum(
        settings.get("l1", 0.0) * w.abs().sum() + settings.get("l2", 0.0) / 2 * (w * w).sum()
        for w in weights
    )
    rule.zero_grad()
    (value + added).backward()
    if "clip_value" in settings:
        torch.nn.utils.clip_grad_value_(leaves.values(), settings["clip_value"])
        norm = torch.sqrt(sum((leaf.grad**2).sum() for leaf in leaves.values()))
        for leaf in leaves.values():
            leaf.grad *= settings["clip_norm"] / max(norm, settings["clip_norm"])
    rule.step()
    return value.item()


@pytest.mark.parametrize(
    ("net", "loss", "rule", "weighted", "settings"),
    [
        *((net, loss, "adam", True, PENALTIES) for net in NETS for loss in LOSSES),
        *(("norms", "softmax", rule, False, CLIPPING) for rule in RULES),
        *(("nested", "squared", rule, False, PLAIN) for rule in RULES),
    ],
)
def test_steps_are_those_of_torch(net, loss, rule, weighted, settings):
    model, (own_loss, its_loss), (own_rule, its_rule) = NETS[net], LOSSES[loss], RULES[rule]
    step = make_step(model, own_loss, own_rule, **settings)
    params, _ = model.init(Rng(11), (4,))
    running = model.init_running(params)
    state = {"params": params, "running": running, "optimizer": own_rule.init(np, params)}
    theirs = tree.map(lambda a: torch.tensor(a, requires_grad=True), params)
    its = its_rule(tree.leaves(theirs))
    rng = np.random.default_rng(1)
    for _ in range(STEPS):
        batch = made_batch(loss, weighted, rng)
        rate = {"learning_rate": np.asarray(own_rule.lr)}
        state, metrics = step(np, state, batch | rate)
        expected = torch_step(model, its_loss, its, theirs, batch, settings)
        assert abs(metrics["loss"] - expected) <= 1e-12 * max(1.0, abs(expected))
        found = {name: leaf.detach().numpy() for name, leaf in tree.flatten(theirs).items()}
        assert_close(tree.flatten(state["params"]), found, 1e-12)
