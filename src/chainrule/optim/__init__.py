"""Optimizers, learning-rate schedules, and what may be done to gradients before an update."""

from chainrule.optim.adadelta import Adadelta, adadelta
from chainrule.optim.adagrad import Adagrad, adagrad
from chainrule.optim.adam import Adam, adam, amsgrad
from chainrule.optim.adamax import Adamax, adamax
from chainrule.optim.adamw import AdamW, adamw
from chainrule.optim.lbfgs import LBFGS, lbfgs
from chainrule.optim.nadam import NAdam, nadam
from chainrule.optim.optimizer import FullBatchOptimizer, Optimizer
from chainrule.optim.rmsprop import RMSprop, rmsprop
from chainrule.optim.schedules import (
    Constant,
    Cosine,
    Exponential,
    OneCycle,
    OnPlateau,
    PlateauState,
    Schedule,
    StepDecay,
    Warmup,
    constant,
    cosine,
    exponential,
    on_plateau,
    one_cycle,
    rate_at,
    step_decay,
    warmup,
)
from chainrule.optim.sgd import SGD, sgd
from chainrule.optim.table import OPTIMIZERS, SCHEDULES, from_json, to_json
from chainrule.optim.transforms import add_l1, add_l2, clip_by_norm, clip_by_value, global_norm

__all__ = [
    "LBFGS",
    "OPTIMIZERS",
    "SCHEDULES",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Constant",
    "Cosine",
    "Exponential",
    "FullBatchOptimizer",
    "NAdam",
    "OnPlateau",
    "OneCycle",
    "Optimizer",
    "PlateauState",
    "RMSprop",
    "Schedule",
    "StepDecay",
    "Warmup",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "add_l1",
    "add_l2",
    "amsgrad",
    "clip_by_norm",
    "clip_by_value",
    "constant",
    "cosine",
    "exponential",
    "from_json",
    "global_norm",
    "lbfgs",
    "nadam",
    "on_plateau",
    "one_cycle",
    "rate_at",
    "rmsprop",
    "sgd",
    "step_decay",
    "to_json",
    "warmup",
]
