"""The errors a user can cause, each one line: what came, what was expected, the way out."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """An argument, array or setting that cannot be used."""


class DataError(InputError):
    """A fault in a file; the message starts with ``path`` or ``path:line:column``."""


class BackendError(InputError):
    """An array library or device that cannot be used here."""


class TrainingError(RuntimeError):
    """A run that cannot go on, such as one whose loss is no longer finite."""


def nearest(name: str, options: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the option closest to `name`, or an empty string.

    >>> nearest("relu", ["ReLU", "Tanh"])
    " (did you mean 'ReLU'?)"
    """
    by_lower = {option.lower(): option for option in options}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f" (did you mean {by_lower[close[0]]!r}?)" if close else ""


def choice(argument: str, name: str, options: Iterable[str]) -> str:
    """Return `name` if it is one of `options`; otherwise raise `InputError` naming the nearest."""
    options = list(options)
    if name not in options:
        raise InputError(
            f"{argument}={name!r} is unknown{nearest(str(name), options)}; "
            f"expected one of {', '.join(options)}"
        )
    return name
