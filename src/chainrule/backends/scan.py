"""Running a training step many times: eagerly here, natively or compiled where a backend can."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chainrule.typing import Array, Namespace, State, Tree

if TYPE_CHECKING:
    from chainrule.backends.base import Backend

Step = Callable[[Namespace, State, Tree], tuple[State, Tree]]
"""``step(xp, state, batch) -> (state, metrics)``, a pure function."""

Scan = Callable[[State, Tree, Tree], Iterator[tuple[State, int, Tree]]]
"""``scan(state, data, controls)``: a step for each row of the controls.

controls: ``indices`` (steps, rows), the rows of the data that make a step's batch, and what else
differs between steps, each (steps, ...), staged. The state is dead after the call. Yields
the state, how many steps it has come to, and their metrics, each (steps,), with the last of them
alone; an interrupt may come after any.
"""


@dataclass(frozen=True)
class Advice:
    """Whether steps can be compiled, whether that pays, and why or why not."""

    possible: bool
    pays: bool
    reason: str
    cause: Exception | None = None
    """What a step that cannot be compiled has raised."""


def eager_scan(backend: "Backend", step: Step) -> Scan:
    """Return a scan that calls the step as it stands."""

    def scan(state: State, data: Tree, controls: Tree) -> Iterator[tuple[State, int, Tree]]:
        xp, count = backend.xp, controls["indices"].shape[0]
        found: dict[str, list[Array]] = {}
        for number in range(count):
            control = {name: array[number, ...] for name, array in controls.items()}
            state, metrics = step(xp, state, gathered(backend, data, control))
            for name, value in metrics.items():
                found.setdefault(name, []).append(value)
            if number < count - 1:
                yield state, number + 1, {}
        yield state, count, {name: xp.stack(values) for name, values in found.items()}

    return scan


def gathered(backend: Any, data: Tree, control: Tree) -> Tree:
    """Return a step's batch: the rows of the data that it takes, and the rest of its controls."""
    batch = {name: backend.gather(array, control["indices"]) for name, array in data.items()}
    return batch | {name: value for name, value in control.items() if name != "indices"}
