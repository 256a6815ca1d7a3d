"""The trainer: a network, a loss and an optimizer on one backend."""

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.backends import get
from chainrule.backends.base import SHORT_DTYPES, Backend
from chainrule.data.sampler import Sampler, check_batch_size
from chainrule.errors import BackendError, DataError, InputError
from chainrule.layers.layer import Layer, init_running, is_random
from chainrule.losses import LOSSES, Loss
from chainrule.ops.random import Rng, check_seed
from chainrule.optim import OPTIMIZERS, FullBatchOptimizer, Optimizer
from chainrule.optim.schedules import OnPlateau, PlateauState
from chainrule.train import compilation, evaluation, feeding, loss_scale, saving
from chainrule.train.callbacks import Callbacks
from chainrule.train.checkpoint import Checkpoints, recorded, run_settings
from chainrule.train.fit import Fit
from chainrule.train.history import History
from chainrule.train.inputs import fit_data, labels_of, prepare_x, prepared
from chainrule.train.programs import Programs
from chainrule.train.progress import Mode, Progress
from chainrule.train.settings import (
    NUMERICS,
    Penalties,
    check_full_batch,
    check_network,
    check_two_rows,
    named,
    positive_integer,
    warn,
)
from chainrule.train.state import Position, copied, on_device
from chainrule.typing import Array, Params, Shape, State, Tree


class Trainer:
    """Trains a network on one backend, and uses it.

    model: a layer, mostly a `Sequential`. loss, optimizer: objects, or their names for default
    settings. backend: ``"auto"``, ``"numpy"``, ``"cupy"``, ``"torch"``, ``"jax"`` or ``"strict"``,
    a device after a colon. dtype: ``"float32"``, ``"float64"``, or for the passes alone, with
    parameters and optimizer in float32, ``"float16"`` (with dynamic loss scaling) or ``"bfloat16"``
    (whose range needs none). matmul_precision: ``"tf32"`` takes float32 products in TF32 on CUDA;
    on a CPU PyTorch and JAX accept it, and little or nothing changes. deterministic: two runs agree
    bit for bit, on the same machine with the same versions and as many threads; refused where the
    environment lacks what that needs. seed: initial weights, batch order and dropout follow from
    it, the same on every backend. l1, l2, clip_norm, clip_value: see `Penalties`. compile: "auto"
    compiles the steps where that is possible and pays (see ``docs/compile.md``), True always
    (`InputError` where it is not possible), False never; after a fit `compiled` says what was done
    and `compile_reason` why.

    Raises `InputError` for settings that cannot be used, `BackendError` for a backend that cannot.

    >>> import chainrule as cr
    >>> net = cr.Sequential(cr.Dense(1))
    >>> trainer = cr.Trainer(net, loss="squared_error", optimizer=cr.sgd(0.1), dtype="float64")
    >>> history = trainer.fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0], epochs=200, batch_size=3)
    >>> trainer.predict([[3.0]]).round(2)
    array([[7.]])
    """

    def __init__(
        self,
        model: Layer,
        loss: str | Loss,
        optimizer: str | Optimizer | FullBatchOptimizer = "adam",
        *,
        backend: str | Backend = "numpy",
        dtype: str = "float32",
        matmul_precision: str = "float32",
        deterministic: bool = False,
        seed: int = 0,
        l1: float = 0.0,
        l2: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        compile: Literal["auto"] | bool = "auto",
    ) -> None:
        self.model = model
        self.loss: Loss = named("loss", loss, LOSSES, "row_weights")
        self.optimizer: Any = named("optimizer", optimizer, OPTIMIZERS, "init")
        self.penalties = Penalties(l1, l2, clip_norm, clip_value)
        check_network(model, self.loss)
        self.backend = get(
            backend, dtype, matmul_precision=matmul_precision, deterministic=deterministic
        )
        if isinstance(backend, str) and self.backend.choice:
            print(f"chainrule: {self.backend.choice}", file=sys.stderr)
        self.dtype = self.backend.dtype
        self.short = self.dtype if self.dtype in SHORT_DTYPES else None
        """What the network computes in, where that is not the dtype of the parameters."""
        if self.short:
            self.backend = replace(cast(Any, self.backend), dtype="float32")
        if self.full_batch:
            check_full_batch(model, self.optimizer, self.penalties, self.dtype)
        self.seed = check_seed(seed)
        self.state: State = {}
        self.position = Position()
        self.history = History(about=self.numerics)
        if not isinstance(compile, bool) and compile != "auto":
            raise InputError(f"compile={compile!r:.80}: expected 'auto', True or False")
        self.compile: Literal["auto"] | bool = compile
        self.compiled = False
        """Whether the last fit's steps were compiled."""
        self.compile_reason = ""
        """Why they were, or were not."""
        self.stopped = ""
        """Why the last fit ended before its epochs were done; empty if it did not."""
        self.plateau: PlateauState | None = None
        self.in_shape: Shape | None = None
        self.out_shape: Shape = ()
        self.programs = Programs(
            self.backend, model, self.loss, self.optimizer, self.penalties, self.short
        )

    def __repr__(self) -> str:
        return (
            f"Trainer({self.model!r}, loss={self.loss!r}, optimizer={self.optimizer!r}, "
            f"backend='{self.backend.name}:{self.backend.device}', dtype={self.dtype!r}, "
            f"seed={self.seed})"
        )

    @property
    def numerics(self) -> dict[str, str | bool]:
        """What it computes in, as histories, checkpoints and files name it."""
        own = {name: getattr(self.backend, name) for name in NUMERICS}
        return own | {"dtype": self.dtype}

    @property
    def half(self) -> bool:
        """Whether the network computes in float16, and the loss is scaled for it."""
        return self.dtype == "float16"

    @property
    def full_batch(self) -> bool:
        """Whether the optimizer asks for the loss of all the data (L-BFGS)."""
        return hasattr(self.optimizer, "iterate")

    @property
    def minimum_found(self) -> bool:
        """Whether the full-batch optimizer has stopped by itself."""
        return bool(self.state["optimizer"]["stopped"])

    @property
    def random(self) -> bool:
        """Whether a training step needs random numbers."""
        return is_random(self.model)

    @property
    def loss_scale(self) -> float:
        """The factor on the loss in float16."""
        return float(self.state["scale"]["factor"])

    @property
    def params(self) -> Params:
        """A copy of the parameters: a tree of the backend's arrays, empty before the first fit."""
        with self.backend.scope():
            return copied(self.backend, self.state.get("params", {}))

    def build(self, in_shape: Shape) -> Self:
        """Make the initial state for inputs (rows, *in_shape); `fit` does it by itself."""
        params, self.out_shape = self.model.init(Rng(self.seed, "init"), in_shape)
        if not params:
            raise InputError(f"model={self.model!r:.80} has no parameters to train")
        with self.backend.scope():
            own = on_device(self.backend, params)
            self.state = {
                "params": own,
                "running": on_device(self.backend, init_running(self.model, params)),
                "optimizer": self.optimizer.init(self.backend.xp, own),
            }
            if self.half:
                like = next(iter(tree.leaves(own)), None)
                self.state["scale"] = loss_scale.start(self.backend.xp, like)
        self.in_shape = in_shape
        self.position, self.history = Position(), History(about=self.numerics)
        rate = self.optimizer.lr
        self.plateau = rate.start() if isinstance(rate, OnPlateau) else None
        return self

    streamed = False
    """Whether the last fit's data stayed on the host."""
    stream_reason = ""
    """Why they did, or did not."""

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        epochs: int = 20,
        batch_size: int | None = 32,
        validation: tuple[Any, Any] | float | None = None,
        sample_weight: Any = None,
        callbacks: Iterable[Any] = (),
        shuffle: bool = True,
        drop_last: bool = False,
        balanced: bool = False,
        accumulate: int = 1,
        stream: Literal["auto"] | bool = "auto",
        progress: Mode = "auto",
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        resume: bool = False,
        allow_changed: Iterable[str] = (),
    ) -> History:
        """Train for `epochs` more epochs and return the history of all so far.

        X (rows, ...), y (rows,) labels or (rows, outputs): NumPy arrays, lists, or the backend's
        own arrays; left unchanged. batch_size: rows an update, None for all of them (L-BFGS always
        takes all). validation: held-out ``(X, y)``, or the fraction of the rows to hold out
        (stratified for labels), which keep their weights. balanced: every class as often as every
        other. accumulate: an update takes this many batches, their gradients summed to exactly
        those of one large batch. callbacks: functions of the epoch's record or objects (see
        `chainrule.Callback`); one that returns True stops, and `stopped` says why. stream: whether
        the data, memory-mapped or not, stay on the host, and rows are copied to the device as steps
        need them, with the same results; "auto": if they would take more than half of the device's
        free memory, on CUDA. After a fit `streamed` says what was done, `stream_reason`
        why. progress: "auto" draws a bar on a terminal, "lines" prints lines, "off" nothing.

        checkpoint: a run folder; it gets a checkpoint every `checkpoint_every` steps and at the
        end. With `resume` the newest one is continued, bit for bit, until `epochs` epochs are done
        in all; a setting that differs from the run's is refused unless `allow_changed` names it.

        Raises `InputError` for data or settings that cannot be used, `TrainingError` if the loss is
        no longer finite, `MemoryError` if the device's memory is too small.
        """
        allow_changed = (allow_changed,) if isinstance(allow_changed, str) else tuple(allow_changed)
        epochs = positive_integer("epochs", epochs)
        accumulate = positive_integer("accumulate", accumulate)
        if checkpoint is None and (resume or checkpoint_every is not None):
            raise InputError("resume and checkpoint_every need checkpoint=, the run folder")
        with self.backend.scope():
            given = {"X": X, "y": y, "sample_weight": sample_weight}
            stream = feeding.choose(self, stream, given, validation, quiet=progress == "off")
            data, held = fit_data(self, X, y, sample_weight, validation, stream=stream)
            rows = int(data["x"].shape[0])
            too_many = batch_size is not None and check_batch_size(batch_size) > rows
            if too_many and not self.full_batch:
                warn(f"batch_size={batch_size} is more than the {rows} rows: one batch an epoch")
            micro = rows if batch_size is None or self.full_batch else min(batch_size, rows)
            size = min(micro * accumulate, rows)
            balance = labels_of(self.backend, self.loss, data["y"]) if balanced else None
            if balanced and balance is None:
                raise InputError("balanced=True needs labels: y of shape (rows,)")
            one_part = micro == rows and balance is None
            sampler = Sampler(rows, size, self.seed, shuffle and not one_part, drop_last, balance)
            check_two_rows(self.model, sampler, micro)
            watchers = Callbacks(callbacks)
            saver, kept = None, []
            micro_batch = micro if size > micro else None
            before = recorded(Path(checkpoint)) if checkpoint and resume else {}
            kept_choice = None if "compiled" in allow_changed else before.get("compiled")
            steps = epochs * sampler.batches
            compilation.choose(self, data, sampler, micro_batch, steps, kept_choice)
            if checkpoint is not None:
                about = run_settings(
                    self, data, held, batch_size, accumulate, shuffle, drop_last, balanced
                )
                saver = Checkpoints(Path(checkpoint), checkpoint_every, about)
                if resume:
                    kept = saver.resume(self, allow_changed)
                saver.begin(self.position.step)
            if not resume:
                self.position.restart_epoch()
            if self.full_batch and (not resume or allow_changed):
                params = self.state["params"]
                self.state["optimizer"] = self.optimizer.init(self.backend.xp, params)
            watchers.begin(self, kept)
            target = epochs if resume else self.position.epoch + epochs
            done = self.position.epoch * sampler.batches + self.position.batch
            bar = Progress(progress, target, sampler.batches, done_steps=done)
            feed = feeding.feed(self.backend, data, sampler)
            Fit(
                self, feed, sampler, target, micro_batch, held, watchers, bar, saver, self.compiled
            ).run()
            watchers.end(self, self.history)
        return self.history

    def evaluate(self, X: Any, y: Any, *, sample_weight: Any = None) -> dict[str, float]:
        """Return the ``loss`` and ``accuracy``, for regressions the ``loss``, ``r2`` and ``mae``.

        The mean over all rows; the loss is without penalties.
        """
        self._require_built("evaluate")
        with self.backend.scope():
            return self.scores_of(prepared(self, X, y, sample_weight))

    def predict(self, X: Any) -> Any:
        """Return the network's output (rows, ...): NumPy for NumPy, own arrays for own arrays.

        float64 with dtype="float64", else float32, also where the network computes in 16 bits.
        """
        return self._like_input("predict", X, lambda output: output)

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class (rows, classes), or of yes for each output."""
        return self._like_input(
            "predict_proba",
            X,
            lambda output: evaluation.probabilities(self.backend.xp, self.loss, output),
        )

    def predict_labels(self, X: Any) -> NDArray[np.int64]:
        """Return the most probable label of each row (rows,), or 0 and 1 for each output."""
        self._require_built("predict_labels")
        with self.backend.scope():
            output = self._output(prepare_x(self.backend, X, self.in_shape))
            return evaluation.predicted_labels(self.loss, self.backend.to_numpy(output))

    def program(self, batch_size: int = 32) -> str:
        """Return the training step for one batch as the loops it is compiled to, for reading.

        Raises `InputError` for a step that cannot be traced.
        """
        self._require_built("program")
        return compilation.program_text(self, batch_size)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``model.safetensors``, ``model.json``, ``training.safetensors``, ``history.jsonl``.

        The first two are the network, the others what `fit` needs to go on. No pickle anywhere.
        Raises `InputError` if `folder` is a file, or a run folder of the command line.
        """
        self._require_built("save")
        saving.save(self, saving.checked_folder(Path(folder)))

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        backend: str | Backend = "numpy",
        dtype: str | None = None,
        matmul_precision: str | None = None,
        deterministic: bool | None = None,
        custom: Iterable[type] = (),
    ) -> Self:
        """Return the trainer that `save` wrote, on any backend; `custom` holds your own layers.

        dtype, matmul_precision, deterministic: as saved if None; a new dtype means float32 products
        unless told otherwise.

        Raises `DataError` for missing, broken or unfitting files, naming them.
        """
        about = saving.read_about(Path(folder), custom)
        given = saving.overriding(dtype, matmul_precision, deterministic)
        settings = saving.settings(about, own_numerics=isinstance(backend, str)) | given
        parts = (about["model"], about["loss"], about["optimizer"])
        try:
            trainer = cls(*parts, backend=backend, **settings)
        except InputError as error:
            asked = isinstance(error, BackendError) and str(error).startswith(NUMERICS[:2])
            if asked and not given:
                way_out = "the run was trained so; dtype='float32' (--dtype float32) loads it here"
                raise BackendError(f"{error}; {way_out}") from None
            if given or isinstance(error, BackendError):
                raise
            raise DataError(f"{Path(folder) / 'model.json'}: {error}") from None
        saving.load_into(trainer, Path(folder), about)
        return trainer

    def snapshot(self) -> Tree:
        """Return a copy of the parameters and the running state."""
        with self.backend.scope():
            network = {name: self.state[name] for name in ("params", "running")}
            return copied(self.backend, network)

    def restore(self, snapshot: Tree) -> None:
        """Put a snapshot back."""
        with self.backend.scope():
            for name in ("params", "running"):
                self.state[name] = copied(self.backend, snapshot.get(name, {}))

    def scores_of(self, data: Tree) -> dict[str, float]:
        """Return the scores on data that is on the device already."""
        output = self._output(data["x"])
        return evaluation.scores(self.backend, self.loss, output, data["y"], data.get("weight"))

    def _output(self, x: Array) -> Array:
        return evaluation.outputs(self.programs.infer(), self.backend.xp, self.state, x)

    def _like_input(self, verb: str, X: Any, finish: Callable[[Array], Array]) -> Any:
        self._require_built(verb)
        with self.backend.scope():
            output = finish(self._output(prepare_x(self.backend, X, self.in_shape)))
            return output if self.backend.owns(X) else self.backend.to_numpy(output)

    def _require_built(self, verb: str) -> None:
        if not self.state:
            raise InputError(f"{verb}: the network has no parameters yet; call fit first")
