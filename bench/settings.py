"""What the command line asked of a suite."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class UnknownNameError(Exception):
    """`--only` names what the suite does not have."""


@dataclass(frozen=True)
class Settings:
    """quick: the smallest run that still shows everything. repetitions: None for the suite's own.

    only: names of contenders, networks or cases; empty for all. device: ``cpu`` or ``cuda``.
    """

    quick: bool = False
    repetitions: int | None = None
    only: tuple[str, ...] = ()
    device: str = "cpu"

    @property
    def cuda(self) -> bool:
        """Whether a CUDA device is measured."""
        return self.device == "cuda"

    def named(self, suite: str) -> str:
        """Return the name of a suite's result: on a device it bears its name, ``peers-cuda``."""
        return f"{suite}-{self.device}" if self.cuda else suite

    def rounds(self, full: int) -> int:
        """Return the repetitions: those asked for, or 1 if quick, or `full`."""
        if self.repetitions is not None:
            return self.repetitions
        return 1 if self.quick else full

    def chosen(self, *groups: Iterable[str]) -> list[list[str]]:
        """Return each group reduced to the names in `only`; one that it does not touch stays whole.

        Raises `UnknownNameError` for a name that no group has.
        """
        all_groups = [list(group) for group in groups]
        known = [name for group in all_groups for name in group]
        for name in self.only:
            if name not in known:
                raise UnknownNameError(f"--only: {name!r} is none of {', '.join(known)}")
        return [[n for n in group if n in self.only] or group for group in all_groups]
