"""Ways to fit that every way to run steps must agree on, on the 60 rows of `blobs`."""

from typing import Any

import numpy as np

import chainrule as cr
from train.problems import classifier, on_host

FIT = ("batch_size", "epochs", "accumulate", "sample_weight", "drop_last", "balanced", "shuffle")
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tail": {"batch_size": 7},
    "one row": {"batch_size": 1, "epochs": 1},
    "one row left": {"batch_size": 59},
    "whole batch": {"batch_size": None},
    "accumulated": {"batch_size": 4, "accumulate": 5},
    "drop last": {"batch_size": 7, "drop_last": True},
    "balanced": {"balanced": True},
    "weights": {"sample_weight": np.arange(60) % 4},
    "schedule": {"optimizer": cr.sgd(cr.optim.cosine(0.1, 12), momentum=0.9)},
    "plateau": {"optimizer": cr.sgd(cr.optim.on_plateau(0.1, patience=0))},
    "penalties": {"l1": 0.001, "l2": 0.01, "clip_norm": 0.5, "clip_value": 0.2},
    "dropout": {"net": classifier(3, cr.ReLU(), cr.Dropout(0.3))},
    "batch norm": {"net": classifier(3, cr.BatchNorm(), cr.GELU()), "optimizer": cr.sgd(0.05)},
    "float32": {"dtype": "float32"},
    "float16": {"dtype": "float16"},
}
LOOSE = {"float32": 1e-4, "float16": 2e-2}
"""By dtype, how far states may lie apart after a few epochs."""


def whole_state(trainer: Any) -> dict[str, Any]:
    """Return every array of a trainer's state by its dotted name, as a NumPy array."""
    return on_host(trainer.backend, trainer.state)
