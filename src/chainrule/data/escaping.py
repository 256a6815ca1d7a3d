"""Text from a file, made safe and short enough to print: terminal escapes, long cells."""

from collections.abc import Iterable

from chainrule.errors import nearest


def escape(text: str) -> str:
    r"""Return `text` with every character that does not print written as ``\x1b``, ``\u202e``, ...

    Control characters, terminal escapes, line ends, bidirectional and zero-width marks and lone
    surrogates are escaped; letters of any script, digits, punctuation and plain spaces stay.

    >>> print(escape("red \x1b[31mlabel"))
    red \x1b[31mlabel
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def close_to(name: str, options: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` escaped, or nothing."""
    return escape(nearest(name, options))


def shown(text: str, limit: int = 40) -> str:
    """Return `text` in quotes, escaped and cut to about `limit` characters, for a message."""
    short = text if len(text) <= limit else text[: limit - 3] + "..."
    return f"'{escape(short)}'"


def listed(names: list[str] | tuple[str, ...], limit: int = 8) -> str:
    """Return up to `limit` names as shown by `shown`, separated by commas, and how many more."""
    text = ", ".join(shown(name) for name in names[:limit])
    return text if len(names) <= limit else f"{text} and {len(names) - limit} more"
