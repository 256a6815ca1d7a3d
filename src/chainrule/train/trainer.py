"""The trainer: a network, a loss and an optimizer on one backend."""

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chainrule import tree
from chainrule.backends import get
from chainrule.backends.base import Backend
from chainrule.data.sampler import Sampler, check_batch_size
from chainrule.data.split import split
from chainrule.errors import DataError, InputError, choice
from chainrule.layers.layer import Layer, describe, init_running, is_random
from chainrule.losses import LOSSES, Loss
from chainrule.ops.random import Rng, check_seed
from chainrule.optim import OPTIMIZERS, FullBatchOptimizer, Optimizer
from chainrule.optim.schedules import OnPlateau, PlateauState
from chainrule.train import evaluation, loss_scale, saving
from chainrule.train.callbacks import Callbacks
from chainrule.train.checkpoint import Checkpoints
from chainrule.train.fit import Fit, Position
from chainrule.train.history import History
from chainrule.train.inputs import prepare_weight, prepare_x, prepare_y
from chainrule.train.progress import Mode, Progress
from chainrule.train.settings import Penalties, positive_integer, warn
from chainrule.train.step import make_gradients, make_step
from chainrule.typing import Array, Params, Shape, State, Tree


class Trainer:
    """Trains a network on one backend, and uses it.

    model: a layer, mostly a `Sequential`. loss, optimizer: objects, or their names for default settings.
    backend: ``"auto"``, ``"numpy"``, ``"cupy"``, ``"torch"``, ``"jax"`` or ``"strict"``, a device after a colon.
    dtype: ``"float32"``, ``"float64"``, or ``"float16"`` (computed in float16 with dynamic loss scaling,
    parameters kept in float32). seed: initial weights, batch order and dropout follow from it, the same
    on every backend. l1, l2, clip_norm, clip_value: see `Penalties`.

    Raises `InputError` for settings that cannot be used, `BackendError` for a backend that cannot.

    >>> import chainrule as cr
    >>> trainer = cr.Trainer(cr.Dense(1), loss="squared_error", optimizer=cr.sgd(0.1), dtype="float64")
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
        seed: int = 0,
        l1: float = 0.0,
        l2: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        if isinstance(model, type) or not hasattr(model, "backward"):
            raise InputError(f"model={model!r}: expected a layer, such as Sequential(Dense(10))")
        self.model = model
        self.loss: Loss = _named("loss", loss, LOSSES, "row_weights")
        self.optimizer: Any = _named("optimizer", optimizer, OPTIMIZERS, "init")
        self.penalties = Penalties(l1, l2, clip_norm, clip_value)
        self.backend = get(backend, dtype)
        self.dtype = self.backend.dtype
        if self.half:
            self.backend = get(f"{self.backend.name}:{self.backend.device}", "float32")
        self.seed = check_seed(seed)
        self.state: State = {}
        self.position = Position()
        self.history = History()
        self.stopped = ""
        self.plateau: PlateauState | None = None
        self.in_shape: Shape | None = None
        self.out_shape: Shape = ()
        self._compiled: dict[Any, Callable[..., Any]] = {}
        _refuse_second_link(model, self.loss)

    def __repr__(self) -> str:
        return (
            f"Trainer({self.model!r}, loss={self.loss!r}, optimizer={self.optimizer!r}, "
            f"backend='{self.backend.name}:{self.backend.device}', dtype={self.dtype!r}, "
            f"seed={self.seed})"
        )

    @property
    def half(self) -> bool:
        """Whether the network computes in float16."""
        return self.dtype == "float16"

    @property
    def full_batch(self) -> bool:
        """Whether the optimizer asks for the loss of all the data (L-BFGS)."""
        return hasattr(self.optimizer, "iterate")

    @property
    def random(self) -> bool:
        """Whether a training step needs random numbers."""
        return is_random(self.model)

    @property
    def params(self) -> Params:
        """A copy of the parameters: a tree of the backend's arrays, empty before `build` or `fit`."""
        return self._copy(self.state.get("params", {}))

    def build(self, in_shape: Shape) -> Self:
        """Make the initial parameters for inputs of shape (rows, *in_shape); `fit` does it by itself."""
        params, self.out_shape = self.model.init(Rng(self.seed, "init"), in_shape)
        self.in_shape = in_shape
        running = init_running(self.model, params)
        with self.backend.scope():
            own = tree.map(lambda a: self._fresh(a, "float"), params)
            self.state = {
                "params": own,
                "running": tree.map(lambda a: self._fresh(a, "float"), running),
                "optimizer": self.optimizer.init(self.backend.xp, own),
            }
            if self.half:
                like = tree.leaves(own)[0] if own else None
                self.state["scale"] = loss_scale.start(self.backend.xp, like)
        self.position, self.history = Position(), History()
        rate = self.optimizer.lr
        self.plateau = rate.start() if isinstance(rate, OnPlateau) else None
        return self

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
        progress: Mode = "auto",
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        resume: bool = False,
    ) -> History:
        """Train for `epochs` more epochs and return the history of all so far.

        X (rows, ...), y (rows,) labels or (rows, outputs): NumPy arrays, lists, or the backend's own
        arrays; left unchanged. batch_size: rows an update, None for all of them. validation: held-out
        ``(X, y)``, or the fraction of the rows to hold out (stratified for labels). balanced: every class
        as often as every other. accumulate: an update takes this many batches, their gradients summed
        to exactly those of one large batch. callbacks: functions of the epoch's record or objects (see
        `chainrule.Callback`); one that returns True stops, and `stopped` says why. progress: "auto" draws
        a bar on a terminal, "lines" prints lines, "off" nothing.

        checkpoint: a run folder; it gets a checkpoint every `checkpoint_every` steps and at the end. With
        `resume` the newest one is continued, bit for bit, until `epochs` epochs are done in all.

        Raises `InputError` for data or settings that cannot be used, `TrainingError` if the loss is no
        longer finite.
        """
        positive_integer("epochs", epochs)
        positive_integer("accumulate", accumulate)
        held = None if isinstance(validation, float | int) else validation
        if isinstance(validation, float | int):
            X, y, sample_weight, held = self._hold_out(X, y, sample_weight, validation)
        with self.backend.scope():
            data = self._data(X, y, sample_weight, build=True)
            rows = int(data["x"].shape[0])
            if batch_size is not None and check_batch_size(batch_size) > rows:
                warn(f"batch_size={batch_size} is more than the {rows} rows: one batch an epoch")
            micro = rows if batch_size is None else min(batch_size, rows)
            balance = None
            if balanced:
                if self.loss.task == "regression" or prod_shape(data["y"]) > 1:
                    raise InputError("balanced=True needs labels: y of shape (rows,)")
                balance = self.backend.to_numpy(data["y"]).reshape(-1).astype(np.int64)
            sampler = Sampler(
                rows, min(micro * accumulate, rows), self.seed, shuffle, drop_last, balance
            )
            self._refuse_lone_row(sampler, micro)
            held_data = None if held is None else self._data(*held, None, prefix="validation ")
            saver = None
            if checkpoint is not None:
                settings = {
                    "rows": rows,
                    "batch_size": batch_size,
                    "accumulate": accumulate,
                    "shuffle": shuffle,
                    "drop_last": drop_last,
                    "balanced": balanced,
                    "seed": self.seed,
                    "dtype": self.dtype,
                }
                saver = Checkpoints(Path(checkpoint), checkpoint_every, settings)
            elif resume or checkpoint_every is not None:
                raise InputError("resume and checkpoint_every need checkpoint=, the run folder")
            watchers = Callbacks(callbacks)
            kept = saver.resume(self) if saver is not None and resume else []
            watchers.begin(self, kept)
            if not resume:
                self.position.batch, self.position.loss, self.position.weight = 0, 0.0, 0.0
            target = epochs if resume else self.position.epoch + epochs
            steps = 1 if self.full_batch else sampler.batches
            done = self.position.epoch * steps + self.position.batch
            bar = Progress(progress, max(target, 1), steps, done_steps=done)
            micro_batch = micro if sampler.batch_size > micro else None
            self.stopped = ""
            if self.full_batch and not resume:
                self.state["optimizer"] = self.optimizer.init(self.backend.xp, self.state["params"])
            Fit(self, data, sampler, target, micro_batch, held_data, watchers, bar, saver).run()
            watchers.end(self, self.history)
        return self.history

    def evaluate(self, X: Any, y: Any, *, sample_weight: Any = None) -> dict[str, float]:
        """Return ``loss`` and ``accuracy``, for regressions ``loss``, ``r2`` and ``mae``, over all rows."""
        self._require_built("evaluate")
        with self.backend.scope():
            return self.scores_of(self._data(X, y, sample_weight))

    def predict(self, X: Any) -> Any:
        """Return the network's output (rows, ...): NumPy for NumPy, the backend's arrays for its own."""
        return self._like_input(X, lambda output: output)

    def predict_proba(self, X: Any) -> Any:
        """Return the probability of each class (rows, classes), or of yes for several yes-or-no outputs."""
        return self._like_input(
            X, lambda output: evaluation.probabilities(self.backend.xp, self.loss, output)
        )

    def predict_labels(self, X: Any) -> NDArray[np.int64]:
        """Return the most probable label of each row (rows,), or 0 and 1 for each yes-or-no output."""
        self._require_built("predict_labels")
        with self.backend.scope():
            output = self._output(prepare_x(self.backend, X, self.in_shape))
            return evaluation.predicted_labels(self.loss, self.backend.to_numpy(output))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``model.safetensors``, ``model.json``, ``training.safetensors`` and ``history.jsonl``.

        The first two are the network, the others what `fit` needs to go on. No pickle anywhere.
        """
        self._require_built("save")
        saving.save(self, Path(folder))

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        backend: str | Backend = "numpy",
        custom: Iterable[type] = (),
    ) -> Self:
        """Return the trainer that `save` wrote, on any backend; `custom` holds your own layer classes.

        Raises `DataError` for missing, broken or unfitting files, naming them.
        """
        about = saving.read_about(Path(folder), custom)
        settings = about["trainer"] | asdict(about["penalties"])
        trainer = cls(about["model"], about["loss"], about["optimizer"], backend=backend, **settings)
        saving.load_into(trainer, Path(folder), about)
        return trainer

    def snapshot(self) -> Tree:
        """Return a copy of the parameters and the running state."""
        return self._copy({"params": self.state["params"], "running": self.state["running"]})

    def restore(self, snapshot: Tree) -> None:
        """Put a snapshot back."""
        self.state |= self._copy({name: snapshot.get(name, {}) for name in ("params", "running")})

    def compiled_step(self, micro_batch: int | None) -> Callable[..., Any]:
        """Return ``step(state, data, indices, learning_rate, key)``, gathering included, compiled once."""
        if micro_batch not in self._compiled:
            backend, xp = self.backend, self.backend.xp
            step = make_step(
                self.model,
                self.loss,
                self.optimizer,
                micro_batch=micro_batch,
                half=self.half,
                **asdict(self.penalties),
            )

            def gathered(
                state: State, data: Tree, indices: Array, learning_rate: Array, key: Array | None
            ) -> tuple[State, Tree]:
                batch = {name: backend.gather(array, indices) for name, array in data.items()}
                batch["learning_rate"] = learning_rate
                if key is not None:
                    batch["key"] = key
                return step(xp, state, batch)

            self._compiled[micro_batch] = backend.compile(gathered, donate=(0,))
        return self._compiled[micro_batch]

    def iterate(self, data: Tree) -> None:
        """Make one iteration of a full-batch optimizer and note its loss."""
        if "gradients" not in self._compiled:
            xp = self.backend.xp
            own = make_gradients(
                self.model, self.loss, l1=self.penalties.l1, l2=self.penalties.l2, penalised=True
            )

            def value_and_grad(params: Params, running: Tree, data: Tree) -> tuple[Array, Tree]:
                value, _, grads, _ = own(xp, {"params": params, "running": running}, data)
                return value, grads

            self._compiled["gradients"] = self.backend.compile(value_and_grad)
        run, running = self._compiled["gradients"], self.state["running"]
        params, memory, loss = self.optimizer.iterate(
            self.backend.xp,
            lambda params: run(params, running, data),
            self.state["params"],
            self.state["optimizer"],
        )
        self.state |= {"params": params, "optimizer": memory}
        self.position.loss = float(loss)

    def host_state(self) -> dict[str, NDArray[Any]]:
        """Return the whole state by dotted names, as NumPy arrays."""
        with self.backend.scope():
            return {k: self.backend.to_numpy(v) for k, v in tree.flatten(self.state).items()}

    def load_state(
        self, arrays: dict[str, NDArray[Any]], path: str, parts: Iterable[str]
    ) -> None:
        """Replace parts of the state by arrays named as `host_state` names them.

        Raises `DataError` naming the file if they are not exactly those this network has.
        """
        expected = {part: self.state[part] for part in parts}
        saving.check_state(tree.unflatten(arrays), expected, path)
        with self.backend.scope():
            own = {
                name: self._fresh(arrays[name], "float") for name in tree.flatten(expected)
            }
        loaded = tree.unflatten(own)
        self.state |= {part: loaded.get(part, self.state[part]) for part in expected}

    def progress_json(self) -> dict[str, Any]:
        """Return how far the run is, as plain JSON."""
        return {
            "position": self.position.to_json(),
            "plateau": self.plateau,
            "history": self.history.records,
        }

    def load_progress(self, progress: dict[str, Any]) -> None:
        """Take back what `progress_json` returned."""
        self.position = Position(**progress["position"])
        self.plateau = progress["plateau"]
        self.history = History(progress["history"])

    def restore_run(
        self, arrays: dict[str, NDArray[Any]], progress: dict[str, Any], path: str
    ) -> None:
        """Put a checkpoint's state and progress back."""
        self.load_state(arrays, path, tuple(self.state))
        self.load_progress(progress)

    def scores_of(self, data: Tree) -> dict[str, float]:
        """Return the scores on data that is on the device already."""
        output = self._output(data["x"])
        return evaluation.scores(self.backend, self.loss, output, data["y"], data.get("weight"))

    @property
    def minimum_found(self) -> bool:
        """Whether the full-batch optimizer has stopped by itself."""
        return bool(self.state["optimizer"]["stopped"])

    @property
    def loss_scale(self) -> float:
        """The factor on the loss in float16."""
        return float(self.state["scale"]["factor"])

    def _output(self, x: Array) -> Array:
        if "infer" not in self._compiled:
            run = evaluation.make_infer(self.model, self.backend.xp, half=self.half)
            self._compiled["infer"] = self.backend.compile(run)
        return evaluation.outputs(
            self._compiled["infer"], self.backend.xp, self.state["params"], self.state["running"], x
        )

    def _like_input(self, X: Any, finish: Callable[[Array], Array]) -> Any:
        self._require_built("predict")
        with self.backend.scope():
            output = finish(self._output(prepare_x(self.backend, X, self.in_shape)))
            return output if self.backend.owns(X) else self.backend.to_numpy(output)

    def _data(
        self, X: Any, y: Any, sample_weight: Any, *, build: bool = False, prefix: str = ""
    ) -> Tree:
        try:
            x = prepare_x(self.backend, X, self.in_shape)
            rows = int(x.shape[0])
            if rows == 0:
                raise InputError("X has 0 rows")
            if build and not self.state:
                self.build(tuple(int(size) for size in x.shape[1:]))
            data = {"x": x, "y": prepare_y(self.backend, y, self.loss, rows, self.out_shape)}
            if sample_weight is not None:
                data["weight"] = prepare_weight(self.backend, sample_weight, rows)
        except InputError as error:
            if prefix:
                raise InputError(f"{prefix}{error}") from None
            raise
        return data

    def _hold_out(self, X: Any, y: Any, sample_weight: Any, fraction: float) -> Any:
        """Split off `fraction` of the rows for validation, stratified where `y` holds labels."""
        if not all(isinstance(a, np.ndarray | list) for a in (X, y)):
            raise InputError(
                "validation=fraction splits NumPy arrays; for others pass validation=(X, y)"
            )
        X, y = np.asarray(X), np.asarray(y)
        if len(X) != len(y):
            raise InputError(f"y has {len(y)} rows, X has {len(X)}; expected one target a row")
        labels = y if self.loss.task != "regression" and y.ndim == 1 else None
        train, held = split(len(X), float(fraction), labels=labels, seed=self.seed)
        weight = None if sample_weight is None else np.asarray(sample_weight)[train]
        return X[train], y[train], weight, (X[held], y[held])

    def _refuse_lone_row(self, sampler: Sampler, micro: int) -> None:
        last = (sampler.tail or sampler.batch_size) % micro
        if getattr(self.model, "needs_two_rows", False) and (micro == 1 or last == 1):
            raise InputError(
                f"batches of {micro} from {sampler.rows} rows leave a batch of one row, from which "
                "BatchNorm takes no statistics; use drop_last=True or another batch_size"
            )

    def _require_built(self, verb: str) -> None:
        if not self.state:
            raise InputError(f"{verb}: the network has no parameters yet; call fit first")

    def _fresh(self, host: Any, dtype: str | None = None) -> Array:
        return self.backend.xp.asarray(self.backend.asarray(host, dtype), copy=True)

    def _copy(self, arrays: Tree) -> Tree:
        with self.backend.scope():
            return tree.map(lambda a: self.backend.xp.asarray(a, copy=True), arrays)


def prod_shape(y: Array) -> int:
    """Return how many numbers a row of `y` holds."""
    size = 1
    for length in y.shape[1:]:
        size *= int(length)
    return size


def _named(argument: str, given: Any, table: Any, method: str) -> Any:
    if isinstance(given, str):
        made = table[choice(argument, given, table)]
        try:
            return made()
        except TypeError:
            raise InputError(
                f"{argument}={given!r} needs settings; pass {given}(...), such as {given}(0.1)"
            ) from None
    if isinstance(given, type) or not hasattr(given, method):
        raise InputError(
            f"{argument}={given!r}: expected its name or an object: {', '.join(table)}"
        )
    return given


def _refuse_second_link(model: Layer, loss: Loss) -> None:
    """Refuse a last layer that does what the loss does already."""
    last: Any = model
    while isinstance(getattr(last, "layers", None), tuple) and last.layers:
        last = last.layers[-1]
    link = {"softmax_cross_entropy": "Softmax", "sigmoid_cross_entropy": "Sigmoid"}.get(loss.name)
    if link is not None and type(last).__name__ == link:
        raise InputError(
            f"the network ends with {describe(last)}, but {loss.name} takes logits and does that "
            "itself; leave it out (predict_proba gives the probabilities)"
        )
