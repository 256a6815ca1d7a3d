"""`certify`: the same training on every backend, against a float64 NumPy reference."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from chainrule.backends import get
from chainrule.backends.base import Backend
from chainrule.certify.certificate import Certificate, Reference
from chainrule.certify.comparison import Run, compare, place
from chainrule.certify.distances import undetermined
from chainrule.certify.recording import marks_of, record
from chainrule.certify.start import digest, look_at_start
from chainrule.certify.subject import Subject, make_subject
from chainrule.certify.tolerances import TOLERANCES
from chainrule.data.sampler import Sampler, check_batch_size
from chainrule.errors import InputError, TrainingError, choice
from chainrule.layers import Layer
from chainrule.losses import Loss
from chainrule.optim import Optimizer
from chainrule.train.inputs import prepare_x
from chainrule.train.settings import positive_integer
from chainrule.train.trainer import Trainer


def certify(
    dataset: str | tuple[Any, Any],
    backends: Sequence[str],
    *,
    network: Layer | None = None,
    loss: str | Loss | None = None,
    optimizer: str | Optimizer | None = None,
    seed: int = 0,
    steps: int = 100,
    batch_size: int = 32,
    dtypes: Sequence[str] = ("float64", "float32"),
    deterministic: bool = False,
    compile: bool = True,
) -> Certificate:
    """Train the same network on each backend and compare each run with a float64 NumPy reference.

    dataset: the name of a built-in data set, or host arrays (X, y): integer labels (rows,) or float
    targets. backends: names as `Trainer` takes them, such as ``"torch:cuda"``. Initial weights,
    batches and masks must agree bit for bit, the first gradients, the losses and the parameters
    within `TOLERANCES`. Without a network a small one with BatchNorm and Dropout is trained, and
    without an optimizer Adam trains it. All runs are `Trainer.fit`'s; the reference runs once, as
    its text stands, the others compiled where the backend does that (with `compile`).

    deterministic: every backend in its deterministic mode, each run made twice; the two must agree
    bit for bit.

    Raises `BackendError` for a backend that cannot run here (none is skipped), `InputError` for
    settings that cannot be used, `TrainingError` if the reference itself diverges.

    >>> import chainrule as cr
    >>> certificate = certify("xor", ["numpy"], network=cr.Dense(2), steps=10)
    >>> certificate.passed
    True
    """
    wanted = _backends(backends, dtypes, deterministic)
    positive_integer("steps", steps)
    subject = make_subject(dataset, network, loss, optimizer)
    sampler = Sampler(len(subject.X), min(check_batch_size(batch_size), len(subject.X)), seed)
    host = get("numpy", "float64")
    prepare_x(host, subject.X, None)
    trainer = _trainer(subject, host, seed, False)
    reference = _run(trainer, subject, sampler, steps)
    if reference.recording.ended:
        raise TrainingError(f"the float64 NumPy reference: {reference.recording.ended}")

    def run(backend: Backend) -> Run:
        return _run(_trainer(subject, backend, seed, compile), subject, sampler, steps)

    rows = [
        compare(
            run(backend),
            reference,
            subject.network,
            again=run(backend) if deterministic else None,
            name=name,
            backend=backend,
            version=_version(backend, compile),
        )
        for name, backend in wanted
    ]
    masks = [mask for step in reference.start.masks.values() for mask in step.values()]
    return Certificate(
        dataset=subject.name,
        shape=subject.X.shape,
        network=repr(subject.network),
        loss=repr(trainer.loss),
        optimizer=repr(trainer.optimizer),
        seed=seed,
        steps=steps,
        batch_size=sampler.batch_size,
        marks=marks_of(steps),
        reference=Reference(
            version=np.__version__,
            losses=reference.recording.losses,
            batches=digest(list(reference.start.rows)),
            masks=digest(masks),
            seconds=reference.recording.seconds,
        ),
        undetermined=tuple(
            place(subject.network, name) for name in undetermined(reference.start.gradients)
        ),
        rows=tuple(rows),
    )


def _backends(
    names: Sequence[str], dtypes: Sequence[str], deterministic: bool
) -> list[tuple[str, Backend]]:
    """Return a backend for each name and dtype, all of them before anything is trained."""
    asked: dict[str, Sequence[object]] = {"backends": names, "dtypes": dtypes}
    for argument, given in asked.items():
        words = not isinstance(given, str) and all(isinstance(name, str) for name in given)
        if not words or not given or len(set(given)) != len(given):
            raise InputError(
                f"{argument}={given!r}: expected a list of one or more different names"
            )
    for dtype in dtypes:
        choice("dtypes", dtype, TOLERANCES)
    return [
        (name, get(name, dtype, deterministic=deterministic)) for name in names for dtype in dtypes
    ]


def _trainer(subject: Subject, backend: Backend, seed: int, compiled: bool) -> Trainer:
    trainer = Trainer(
        subject.network,
        subject.loss,
        subject.optimizer,
        backend=backend,
        seed=seed,
        compile=compiled and bool(backend.compiled_by()),
    )
    return trainer.build(subject.X.shape[1:])


def _run(trainer: Trainer, subject: Subject, sampler: Sampler, steps: int) -> Run:
    start = look_at_start(trainer, subject.X, subject.y, sampler, steps, marks_of(steps))
    return Run(start, record(trainer, subject.X, subject.y, sampler, steps))


def _version(backend: Backend, compiled: bool) -> str:
    module: Any = import_module(f"chainrule.backends.{backend.name}")
    compiler = f" + {backend.compiled_by()}" if compiled and backend.compiled_by() else ""
    return f"{module.VERSION}{compiler}"
