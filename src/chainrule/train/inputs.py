"""What may be trained on: each fault of X, y and the weights is one line, before the first step."""

from collections.abc import Iterable, Iterator
from math import prod
from numbers import Real
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from chainrule.backends.base import Backend
from chainrule.backends.host import library_of
from chainrule.data.splitting import split
from chainrule.errors import InputError
from chainrule.losses.loss import Loss
from chainrule.settings import inside_unit
from chainrule.train.feeding import device_bytes, too_large
from chainrule.train.host_rows import HostRows, parts
from chainrule.train.memory import explained
from chainrule.typing import Array, Shape, Tree

if TYPE_CHECKING:
    from chainrule.train.trainer import Trainer

BLOCK = 16 * 2**20
"""Bytes of host data that are looked at together."""


def fit_data(
    trainer: "Trainer", x: Any, y: Any, weight: Any, validation: Any, *, stream: bool = False
) -> tuple[Tree, Tree | None]:
    """Return the data to train on and to validate on; build a network that is not built yet.

    With `stream` the former are `HostRows`, and so is the latter's x.
    """
    fresh = not trainer.state
    try:
        data = prepared(trainer, x, y, weight, stream=stream)
        if validation is None:
            return data, None
        if isinstance(validation, Real):
            inside_unit("validation", validation)
            return held_out(trainer.backend, trainer.loss, data, float(validation), trainer.seed)
        if not isinstance(validation, tuple | list) or len(cast(Any, validation)) != 2:
            raise InputError("validation: expected (X, y), or the fraction to hold out")
        held_x, held_y = cast("tuple[Any, Any]", validation)
        try:
            return data, _to_score(prepared(trainer, held_x, held_y, None, stream=stream))
        except InputError as error:
            raise InputError(f"validation {error}") from None
    except InputError:
        if fresh:
            trainer.state, trainer.in_shape = {}, None
        raise


def prepared(
    trainer: "Trainer", x: Any, y: Any, weight: Any, *, stream: bool | None = None
) -> Tree:
    """Return x, y and the weights, if any, on the device; build a network that is not built yet.

    stream: leave all of them on the host, as `HostRows`; None leaves only an x that is too large.
    """
    backend = trainer.backend
    x = prepare_x(backend, x, trainer.in_shape, stream=stream)
    rows = int(x.shape[0])
    if rows == 0:
        raise InputError("X has 0 rows")
    if not trainer.state:
        way_out = "parameters and what the optimizer keeps of them need it: train a smaller network"
        with explained(backend, lambda: way_out):
            trainer.build(tuple(int(size) for size in x.shape[1:]))
    streamed = stream is True
    loss, out_shape = trainer.loss, trainer.out_shape
    data = {"x": x, "y": prepare_y(backend, y, loss, rows, out_shape, stream=streamed)}
    if weight is not None:
        data["weight"] = prepare_weight(backend, weight, rows, stream=streamed)
    return data


def prepare_x(
    backend: Backend,
    x: Any,
    in_shape: Shape | None,
    *,
    name: str = "X",
    stream: bool | None = None,
) -> Array:
    """Return X (rows, ...) on the backend, in its float dtype.

    Booleans, integers and floats of any width, order and stride are taken, lists and pandas frames
    of numbers too. stream: leave host data where they are, as `HostRows`; None does that where they
    are too large for the device. Raises `InputError` for NaN and infinity, another shape of row
    than `in_shape`, a row without numbers, a single number, text, objects, complex, sparse and
    masked arrays, and arrays of another library or device.
    """
    array = _numbers(backend, x, name)
    if array.ndim < 2:
        raise InputError(
            f"{name} has shape {tuple(array.shape)}, expected (rows, features); "
            f"reshape it: {name}[:, None] for one feature, {name}[None, :] for one row"
        )
    if prod(array.shape[1:]) == 0:
        raise InputError(f"{name} has shape {tuple(array.shape)}: no features to learn from")
    if in_shape is not None and tuple(array.shape[1:]) != in_shape:
        raise InputError(
            f"{name} has shape {tuple(array.shape)}, the network was built for {_by_rows(in_shape)}"
        )
    if stream is None:
        stream, _ = too_large(backend, device_bytes(backend, array))
    return _finite_floats(backend, array, name, stream)


def prepare_y(
    backend: Backend, y: Any, loss: Loss, rows: int, out_shape: Shape, *, stream: bool = False
) -> Array:
    """Return the targets on the backend: labels as integers, all else in its float dtype.

    A column (rows, 1) and a vector (rows,) stand for each other; nothing else is reshaped. With
    `stream` they stay on the host. Raises `InputError` for another number of rows, labels that are
    no classes of the network, and values out of the loss's range.
    """
    array = _numbers(backend, y, "y", on_host=stream)
    if array.shape[0] != rows:
        raise InputError(
            f"y has shape {tuple(array.shape)}, X has {rows} rows; expected one target a row"
        )
    if loss.task == "classification":
        return _classes(backend, array, loss, out_shape, stream)
    expected = (rows, *out_shape)
    if tuple(array.shape) != expected:
        if prod(array.shape[1:]) != 1 or prod(out_shape) != 1:
            raise InputError(
                f"y has shape {tuple(array.shape)}, the network's output has shape {expected}; "
                f"they must agree: set the last layer to {prod(array.shape[1:])} outputs"
            )
        array = _reshaped(backend, array, expected)
    array = _finite_floats(backend, array, "y", stream)
    for first, host in _blocks(backend, array) if loss.task == "binary" else ():
        wrong = (host < 0) | (host > 1)
        if wrong.any():
            row = first + int(np.argwhere(wrong)[0][0])
            raise InputError(
                f"y holds {host[wrong][0]:g} at row {row}; {loss.name} takes 0, 1 or between"
            )
    return array


def prepare_weight(backend: Backend, weight: Any, rows: int, *, stream: bool = False) -> Array:
    """Return the sample weights (rows,); raise `InputError` unless finite, >= 0, not all zero.

    With `stream` they stay on the host.
    """
    array = _numbers(backend, weight, "sample_weight", on_host=stream)
    if tuple(array.shape) != (rows,):
        raise InputError(
            f"sample_weight has shape {tuple(array.shape)}, expected one number a row: ({rows},)"
        )
    array = _finite_floats(backend, array, "sample_weight", stream)
    host = backend.to_numpy(array)
    if host.size and (host.min() < 0 or host.max() == 0):
        raise InputError("sample_weight: expected numbers of at least 0, not all of them 0")
    with np.errstate(over="ignore"):
        if not np.isfinite(host.sum(dtype=host.dtype)):
            raise InputError(f"sample_weight: the sum is too large for {backend.dtype}; divide it")
    return array


def held_out(
    backend: Backend, loss: Loss, data: Tree, fraction: float, seed: int
) -> tuple[Tree, Tree]:
    """Return the data without a fraction of its rows, stratified where `y` is labels, and those."""
    labels = labels_of(backend, loss, data["y"])
    train, held = split(int(data["x"].shape[0]), fraction, labels=labels, seed=seed)
    if isinstance(data["x"], HostRows):
        return (
            {name: array.subset(train) for name, array in data.items()},
            _to_score({name: array.subset(held) for name, array in data.items()}),
        )
    gather, index = backend.gather, backend.asarray
    return (
        {name: gather(array, index(train, "index")) for name, array in data.items()},
        {name: gather(array, index(held, "index")) for name, array in data.items()},
    )


def labels_of(backend: Backend, loss: Loss, y: Array) -> NDArray[np.int64] | None:
    """Return one label a row (rows,), or None where the targets are no labels."""
    if loss.task == "regression" or prod(y.shape[1:]) > 1:
        return None
    host = backend.to_numpy(y).reshape(-1)
    labels = host.astype(np.int64)
    return labels if bool((labels == host).all()) else None


def _to_score(data: Tree) -> Tree:
    """Return data with all but x on the device: what there is of it is as large as the output."""
    return {
        name: array[:] if name != "x" and isinstance(array, HostRows) else array
        for name, array in data.items()
    }


def _numbers(backend: Backend, x: Any, name: str, *, on_host: bool = False) -> Array:
    """Return the backend's own array if `x` is one, else a NumPy array of numbers.

    With `on_host` always the latter.
    """
    library = library_of(x)
    if backend.owns(x) and library != "numpy":
        array = backend.asarray(x)
        if str(array.device) != str(x.device):
            raise InputError(
                f"{name} is on {x.device}, the trainer on {backend.device}; move it there first"
            )
        array = backend.to_numpy(array) if on_host else array
    elif library in ("cupy", "torch", "jax", "array_api_strict"):
        own = "strict" if library == "array_api_strict" else library
        raise InputError(
            f"{name} is an array of {library}, the trainer's backend is {backend.name!r}; "
            f"pass NumPy arrays, or Trainer(..., backend={own!r})"
        )
    else:
        array = _host(x, name)
    if array.ndim == 0:
        raise InputError(f"{name} is a single number; expected an array with one row a sample")
    return array


def _host(x: Any, name: str) -> NDArray[Any]:
    """Return host data as a NumPy array of numbers; name what it is otherwise."""
    library = library_of(x)
    if library == "pandas":
        try:
            return np.asarray(x.to_numpy(dtype="float64"))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{name} is a pandas {type(x).__name__} with text or missing values ({error}); "
                "fill them and pass numbers, or train from the file with `chainrule train`"
            ) from None
    if library == "numpy.ma":
        raise InputError(f"{name} is a masked array; fill it first: {name}.filled(value)")
    if library is not None and library.endswith("sparse"):
        raise InputError(f"{name} is a sparse {type(x).__name__}; pass {name}.toarray()")
    try:
        array = np.asarray(x)
    except ValueError:
        raise InputError(f"{name} is ragged: its rows differ in length") from None
    if array.dtype.kind in "biuf":
        return array
    if array.dtype.kind in "US":
        hint = "; encode labels as 0, 1, … with np.unique(y, return_inverse=True)[1]"
        raise InputError(f"{name} holds text; expected numbers{hint if name == 'y' else ''}")
    what = {"c": "complex numbers", "O": "objects", "M": "dates", "m": "durations"}
    raise InputError(
        f"{name} holds {what.get(array.dtype.kind, str(array.dtype))}; "
        "expected booleans, integers or floats"
    )


def _finite_floats(backend: Backend, array: Array, name: str, stream: bool) -> Array:
    """Return the array in the backend's float dtype; raise `InputError` unless all are finite."""
    if not isinstance(array, np.ndarray):
        floats = backend.asarray(array, "float")
        if not bool(backend.xp.all(backend.xp.isfinite(floats))):
            _refuse_nan(backend.to_numpy(floats), name)
        return floats
    host = cast("NDArray[Any]", array)
    if stream:
        for _, block in _blocks(backend, HostRows(backend, host, "float")):
            if not np.isfinite(block).all():
                _refuse_non_finite(backend, host, name)
        return HostRows(backend, host, "float")
    with np.errstate(over="ignore"):
        cut = host.astype(backend.dtype, copy=False)
    if not np.isfinite(cut).all():
        _refuse_non_finite(backend, host, name)
    return _on_device(backend, cut, "float", name)


def _on_device(backend: Backend, host: NDArray[Any], kind: str, name: str) -> Array:
    way_out = f"{name} takes {host.nbytes:,} bytes there: train with stream=True, or on fewer rows"
    with explained(backend, lambda: way_out):
        return backend.asarray(host, kind)


def _blocks(backend: Backend, array: Array) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield ``(first row, rows)`` of an array in the device's dtype, on the host, to be looked at.

    `HostRows` come a block at a time, so that they are in memory one block at a time.
    """
    if not isinstance(array, HostRows):
        yield 0, backend.to_numpy(array)
        return
    for part in parts(array.shape[0], array.row_bytes, BLOCK):
        with np.errstate(over="ignore"):
            block = array.host(part)
        yield part.start, block


def _refuse_non_finite(backend: Backend, host: NDArray[Any], name: str) -> None:
    """Raise `InputError` for what is not finite in `host`, or would not be in the float dtype."""
    _refuse_nan(host, name)
    for start, block in _blocks(backend, HostRows(backend, host, "float")):
        wrong = np.argwhere(~np.isfinite(block))
        if len(wrong):
            raise InputError(
                f"{_place(name, start, wrong[0])} is {host[start:][tuple(wrong[0])]:g}, too large "
                f"for {backend.dtype}; scale the data or choose dtype='float64'"
            )


def _refuse_nan(host: NDArray[Any], name: str) -> None:
    count, first = 0, ""
    for part in parts(len(host), host[:1].nbytes, BLOCK) if host.dtype.kind == "f" else ():
        wrong = np.argwhere(~np.isfinite(host[part]))
        if len(wrong) and not count:
            first = _place(name, part.start, wrong[0])
        count += len(wrong)
    if count:
        raise InputError(
            f"{name} holds {count} NaN or infinite value{'s' if count > 1 else ''}, the "
            f"first at {first}; impute or drop them"
        )


def _place(name: str, start: int, index: NDArray[Any]) -> str:
    return f"{name}[{_commas((start + int(index[0]), *map(int, index[1:])))}]"


def _classes(backend: Backend, array: Any, loss: Loss, out_shape: Shape, stream: bool) -> Array:
    """Return labels (rows,) as integers, or probabilities (rows, classes)."""
    if len(out_shape) != 1 or out_shape[0] < 2:
        raise InputError(
            f"{loss.name} needs one output a class, at least 2; the network's output has shape "
            f"{_by_rows(out_shape)}: end with Dense(number of classes), or use "
            "sigmoid_cross_entropy for yes or no"
        )
    classes = out_shape[0]
    weights = getattr(loss, "class_weight", None)
    if weights is not None and len(weights) != classes:
        raise InputError(
            f"class_weight has {len(weights)} numbers, the network has {classes} outputs; "
            "expected one number a class"
        )
    if array.ndim == 2 and array.shape[1] == 1:
        array = _reshaped(backend, array, (array.shape[0],))
    if array.ndim == 2 and array.shape[1] == classes:
        return _probabilities(backend, array, stream)
    if array.ndim != 1:
        raise InputError(
            f"y has shape {tuple(array.shape)}, the network has {classes} outputs; expected labels "
            f"(rows,) or probabilities (rows, {classes})"
        )
    host: NDArray[Any] = backend.to_numpy(array)
    _refuse_nan(host, "y")
    wrong = (host < 0) | (host >= classes)
    if host.dtype.kind == "f":
        wrong |= host != np.floor(host)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"y holds the label {host[row]:g} at row {row}; the network has {classes} outputs, "
            f"so labels are the integers 0 to {classes - 1}"
        )
    if stream:
        return HostRows(backend, array, "index")
    return _on_device(backend, host.astype(np.int64), "index", "y")


def _probabilities(backend: Backend, array: Array, stream: bool) -> Array:
    floats = _finite_floats(backend, array, "y", stream)
    for first, host in _blocks(backend, floats):
        wrong = (host.min(axis=1) < 0) | (np.abs(host.sum(axis=1) - 1) > 1e-3)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(
                f"y's row {first + row} sums to {host[row].sum():g}, its least is "
                f"{host[row].min():g}; expected probabilities: numbers of at least 0 that sum to 1"
            )
    return floats


def _reshaped(backend: Backend, array: Array, shape: Shape) -> Array:
    xp: Any = np if isinstance(array, np.ndarray) else backend.xp
    return xp.reshape(array, shape)


def _by_rows(shape: Shape) -> str:
    return f"({_commas(('rows', *shape))})"


def _commas(parts: Iterable[object]) -> str:
    return ", ".join(map(str, parts))
