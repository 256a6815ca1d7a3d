"""Arrays that refuse to be looked at: what a captured or traced step may not do fails loudly."""

from typing import Any

import numpy as np


def _open(value: Any) -> Any:
    if isinstance(value, GuardedArray):
        return value.unguarded()
    if isinstance(value, list | tuple):
        return type(value)(_open(part) for part in value)
    return value


def guard(value: Any) -> Any:
    """Return an array, or what is in a tuple or list of them, guarded."""
    if isinstance(value, np.ndarray | np.generic):
        return GuardedArray(value)
    if isinstance(value, tuple | list):
        return type(value)(guard(part) for part in value)
    return value


class GuardedArray:
    """A NumPy array whose values cannot be read: shape, arithmetic and slices are all there is."""

    __hash__ = None

    def __init__(self, array: Any) -> None:
        self._array = array

    def unguarded(self) -> Any:
        return self._array

    shape = property(lambda self: self._array.shape)
    ndim = property(lambda self: self._array.ndim)
    dtype = property(lambda self: self._array.dtype)
    device = property(lambda self: "cpu")
    T = property(lambda self: GuardedArray(self._array.T))

    def __getitem__(self, key: Any) -> Any:
        for part in key if isinstance(key, tuple) else (key,):
            assert part is None or part is ... or isinstance(part, int | slice), "array as index"
        return GuardedArray(self._array[key])

    def _read(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("a value was read on the host")

    __float__ = __int__ = __bool__ = __index__ = __complex__ = _read
    __array__ = __iter__ = __len__ = __contains__ = __setitem__ = _read
    __round__ = __repr__ = __str__ = __format__ = _read
    item = tolist = tobytes = copy = __dlpack__ = __buffer__ = _read


def _operator(name: str) -> Any:
    def operator(self: GuardedArray, *others: Any) -> Any:
        found = getattr(self.unguarded(), name)(*map(_open, others))
        return found if found is NotImplemented else guard(found)

    return operator


_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "pow", "mod", "matmul", "and", "or", "xor")
_NAMES = (*_BINARY, "lshift", "rshift", *(f"r{name}" for name in _BINARY))
for _name in (*_NAMES, "eq", "ne", "lt", "le", "gt", "ge", "neg", "pos", "abs", "invert"):
    setattr(GuardedArray, f"__{_name}__", _operator(f"__{_name}__"))


class GuardedNamespace:
    """A namespace whose functions take and return guarded arrays."""

    def __init__(self, xp: Any) -> None:
        self._xp = xp

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._xp, name)
        if not callable(value) or isinstance(value, type):
            return value

        def function(*args: Any, **settings: Any) -> Any:
            opened = {key: _open(setting) for key, setting in settings.items()}
            return guard(value(*map(_open, args), **opened))

        return function
