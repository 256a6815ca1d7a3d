"""Options that several commands share, and how they read their values."""

from collections.abc import Callable, Iterable
from typing import Any

import click

from chainrule.errors import InputError, choice

ACTIVATIONS = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "softplus": "Softplus",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
}
OPTIMIZERS = (
    "adam",
    "adamw",
    "adamax",
    "amsgrad",
    "nadam",
    "sgd",
    "rmsprop",
    "adagrad",
    "adadelta",
    "lbfgs",
)
TASKS = ("auto", "classification", "regression")
MISSING = ("error", "mean", "median", "most_frequent", "drop")
COMPILE = STREAM = {"auto": "auto", "on": True, "off": False}
DTYPES = ("float32", "float64", "float16", "bfloat16")
MATMUL_PRECISIONS = ("float32", "tf32")


def name_of(options: Iterable[str]) -> Callable[..., str | None]:
    """Return a check that a value is one of a few names; for any other it gives the nearest."""

    def check(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
        return None if value is None else choice(parameter.opts[0], value, options)

    return check


def check_sizes(_: click.Context, __: click.Parameter, value: str) -> str:
    """Return sizes of layers without blanks; raise `InputError` unless `layer_sizes` reads them."""
    text = value.replace(" ", "")
    layer_sizes(text)
    return text


def layer_sizes(text: str) -> tuple[int, ...]:
    """Return the sizes that ``128,64`` or ``none`` stands for."""
    if text == "none":
        return ()
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(
            f"--hidden={text!r}: expected layer sizes separated by commas, such as 128,64, or none"
        )
    return tuple(int(part) for part in parts)


def backend_option(default: str) -> Callable[[Any], Any]:
    """Return the option ``--backend``."""
    return click.option(
        "--backend",
        default=default,
        show_default=True,
        help="auto, numpy, cupy, torch, jax or strict; a device after a colon: torch:cuda.",
    )


def dtype_option(default: str | None) -> Callable[[Any], Any]:
    """Return the option ``--dtype``; without a default it is as in training."""
    return click.option(
        "--dtype",
        callback=name_of(DTYPES),
        metavar="NAME",
        default=default,
        show_default=default or "as trained",
        help=f"{', '.join(DTYPES)}.",
    )


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Write one JSON object to standard output, and no more."
)
debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
)
deterministic_option = click.option(
    "--deterministic", is_flag=True, help="Two runs agree bit for bit."
)
seed_option = click.option(
    "--seed", type=int, default=0, show_default=True, help="Fixes everything random."
)
delimiter_option = click.option(
    "--delimiter", help="Between the fields of a CSV file, such as ';' or '\\t'."
)
no_header_option = click.option(
    "--no-header",
    is_flag=True,
    help="The first line of a CSV file is data; columns are column1, column2, …",
)
unseen_option = click.option(
    "--unseen",
    callback=name_of(("error", "ignore")),
    metavar="NAME",
    default="error",
    show_default=True,
    help="What a category that was not there in training does: error, or ignore (all zeros).",
)
