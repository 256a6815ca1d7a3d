"""chainrule: train neural networks on the array library you already have.

>>> import chainrule as cr
>>> net = cr.Sequential(cr.Dense(16), cr.Tanh(), cr.Dense(2))
>>> trainer = cr.Trainer(net, loss="softmax_cross_entropy", optimizer=cr.adam(0.05))
>>> history = trainer.fit([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], epochs=100, batch_size=4)
>>> trainer.predict_labels([[0, 1], [1, 1]])
array([1, 0])

Names are imported when they are first used, so that ``import chainrule`` is as light as NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule import backends, data
    from chainrule.errors import (
        BackendError,
        DataError,
        InputError,
        TrainingError,
    )
    from chainrule.gradcheck import GradientReport, check_gradients, numerical_gradient
    from chainrule.layers import (
        ELU,
        GELU,
        BatchNorm,
        Dense,
        Dropout,
        Flatten,
        Layer,
        LayerNorm,
        LeakyReLU,
        ReLU,
        Sequential,
        Sigmoid,
        SiLU,
        Softmax,
        Softplus,
        Tanh,
    )
    from chainrule.losses import (
        absolute_error,
        huber,
        sigmoid_cross_entropy,
        softmax_cross_entropy,
        squared_error,
    )
    from chainrule.optim import (
        adadelta,
        adagrad,
        adam,
        adamax,
        adamw,
        amsgrad,
        constant,
        cosine,
        exponential,
        lbfgs,
        nadam,
        on_plateau,
        one_cycle,
        rmsprop,
        sgd,
        step_decay,
        warmup,
    )
    from chainrule.train import metrics
    from chainrule.train.callbacks import Callback, Converged, EarlyStopping, TimeBudget
    from chainrule.train.history import History
    from chainrule.train.step import make_step
    from chainrule.train.trainer import Trainer

_HOMES = {
    "chainrule.errors": ("BackendError", "DataError", "InputError", "TrainingError"),
    "chainrule.layers": (
        "BatchNorm",
        "Dense",
        "Dropout",
        "ELU",
        "Flatten",
        "GELU",
        "Layer",
        "LayerNorm",
        "LeakyReLU",
        "ReLU",
        "Sequential",
        "SiLU",
        "Sigmoid",
        "Softmax",
        "Softplus",
        "Tanh",
    ),
    "chainrule.losses": (
        "absolute_error",
        "huber",
        "sigmoid_cross_entropy",
        "softmax_cross_entropy",
        "squared_error",
    ),
    "chainrule.optim": (
        "adadelta",
        "adagrad",
        "adam",
        "adamax",
        "adamw",
        "amsgrad",
        "constant",
        "cosine",
        "exponential",
        "lbfgs",
        "nadam",
        "on_plateau",
        "one_cycle",
        "rmsprop",
        "sgd",
        "step_decay",
        "warmup",
    ),
    "chainrule.train.callbacks": ("Callback", "Converged", "EarlyStopping", "TimeBudget"),
    "chainrule.train.history": ("History",),
    "chainrule.train.step": ("make_step",),
    "chainrule.train.trainer": ("Trainer",),
    "chainrule.gradcheck": ("GradientReport", "check_gradients", "numerical_gradient"),
}
_MODULES = {
    "backends": "chainrule.backends",
    "data": "chainrule.data",
    "metrics": "chainrule.train.metrics",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"
__all__ = [
    "ELU",
    "GELU",
    "BackendError",
    "BatchNorm",
    "Callback",
    "Converged",
    "DataError",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "GradientReport",
    "History",
    "InputError",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "TimeBudget",
    "Trainer",
    "TrainingError",
    "absolute_error",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "amsgrad",
    "backends",
    "check_gradients",
    "constant",
    "cosine",
    "data",
    "exponential",
    "huber",
    "lbfgs",
    "make_step",
    "metrics",
    "nadam",
    "numerical_gradient",
    "on_plateau",
    "one_cycle",
    "rmsprop",
    "sgd",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "squared_error",
    "step_decay",
    "warmup",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name in _MODULES:
        value = import_module(_MODULES[name])
    else:
        raise AttributeError(f"module 'chainrule' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
