"""One run against the reference: what differs, where first, and in words."""

from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from chainrule.backends.base import Backend
from chainrule.certify.certificate import Row
from chainrule.certify.distances import (
    gradient_distances,
    loss_distances,
    state_distances,
    undetermined,
)
from chainrule.certify.recording import Recording
from chainrule.certify.start import Start, same_bits
from chainrule.certify.tolerances import TOLERANCES, Tolerance, within
from chainrule.layers import Layer, Sequential
from chainrule.layers.layer import describe


@dataclass(frozen=True)
class Run:
    """What one backend did, from its first look at the data to the last step."""

    start: Start
    recording: Recording


def compare(
    run: Run,
    reference: Run,
    network: Layer,
    *,
    again: Run | None,
    name: str,
    backend: Backend,
    version: str,
) -> Row:
    """Return the row of a run; see `chainrule.certify.distances` for what is measured.

    again: the same run a second time, which must have the same bits.
    """
    dtype = backend.dtype
    tolerance = TOLERANCES[dtype]
    gradients = gradient_distances(run.start.gradients, reference.start.gradients)
    judged = _judged(reference)
    losses = loss_distances(run.recording.losses, reference.recording.losses)
    states = {
        step: state_distances(
            state, {k: v for k, v in reference.recording.states[step].items() if k in judged}
        )
        for step, state in run.recording.states.items()
    }
    weights = _weights_fault(run.start, reference.start, network, dtype)
    batches = _batches_fault(run.start, reference.start)
    masks = _masks_fault(run.start, reference.start, network)
    repeat = "" if again is None else _repeat_fault(run.recording, again.recording)
    loss_step = next(
        (step for step, d in enumerate(losses, start=1) if not within(d, tolerance.loss)), None
    )
    state_step = next(
        (
            step
            for step, d in states.items()
            if not within(max(d.values(), default=0.0), tolerance.parameter)
        ),
        None,
    )
    faults = [
        weights,
        batches,
        masks,
        _gradients_fault(gradients, tolerance, network),
        _loss_fault(losses, loss_step, tolerance),
        _state_fault(states, state_step, tolerance, network),
        repeat,
        run.recording.ended,
    ]
    return Row(
        backend=name,
        device=backend.device,
        version=version,
        dtype=dtype,
        weights_agree=not weights,
        batches_agree=not batches,
        masks_agree=not masks,
        gradients=gradients,
        losses=losses,
        states=states,
        loss_step=loss_step,
        state_step=state_step,
        faults=tuple(fault for fault in faults if fault),
        seconds=run.recording.seconds,
        matmul_precision=backend.matmul_precision,
        deterministic=backend.deterministic,
        repeats=None if again is None else not repeat,
    )


def place(network: Layer, name: str) -> str:
    """Return the layer of a dotted name, with the name: ``1.weight of Dense(128)``."""
    layer = network
    for part in name.removeprefix("running.").split("."):
        if not isinstance(layer, Sequential) or not part.isdecimal():
            break
        layer = layer.layers[int(part)]
    return f"{name} of {describe(layer)}" if name else describe(layer)


def worst(distances: dict[str, float]) -> str:
    """Return the name of the largest distance, the first of several."""
    return max(distances, key=lambda name: distances[name])


def _judged(reference: Run) -> set[str]:
    """Return the arrays of the state to compare: all, unless some parameters are undetermined."""
    names = set(reference.start.state)
    skipped = set(undetermined(reference.start.gradients))
    if skipped:
        skipped |= {name for name in names if name.startswith("running.")}
    return names - skipped


def _weights_fault(found: Start, reference: Start, network: Layer, dtype: str) -> str:
    for name, r in reference.state.items():
        own, wanted = found.state[name], r.astype(dtype)
        if not same_bits(own, wanted):
            count = int(np.count_nonzero(own != wanted))
            return (
                f"initial weights differ: {place(network, name)}, {count} of {r.size} numbers "
                "are not the host's"
            )
    return ""


def _batches_fault(found: Start, reference: Start) -> str:
    for step, (own, rows) in enumerate(zip(found.rows, reference.rows, strict=True), start=1):
        if not same_bits(own, rows):
            differ = np.flatnonzero(own != rows)
            first = int(differ[0])
            return (
                f"batches differ from step {step} on: {len(differ)} of its {len(rows)} rows, the "
                f"first is row {own[first]} where the order has {rows[first]}"
            )
    if found.altered is not None:
        return f"batches differ from step {found.altered} on: the rows' values are not the host's"
    return ""


def _masks_fault(found: Start, reference: Start, network: Layer) -> str:
    for step, masks in reference.masks.items():
        for name, r in masks.items():
            own = found.masks[step][name]
            if not same_bits(own, r):
                count = int(np.count_nonzero(own != r))
                layer = place(network, name)
                return f"masks differ at step {step}: {layer}, {count} of {r.size} elements"
    return ""


def _repeat_fault(run: Recording, again: Recording) -> str:
    for step, (one, other) in enumerate(zip_longest(run.losses, again.losses), start=1):
        if one != other:
            return f"a second run differs from step {step} on: its loss is {other}, was {one}"
    for step, state in run.states.items():
        for name, array in state.items():
            if not same_bits(array, again.states[step][name]):
                return f"a second run differs at step {step}: {name}"
    return ""


def _gradients_fault(distances: dict[str, float], tolerance: Tolerance, network: Layer) -> str:
    if not distances or within(max(distances.values()), tolerance.gradient):
        return ""
    name = worst(distances)
    return (
        f"gradients of step 1 differ: {place(network, name)} by {distances[name]:.1e}, "
        f"tolerance {tolerance.gradient:.0e}"
    )


def _loss_fault(distances: list[float], step: int | None, tolerance: Tolerance) -> str:
    if step is None:
        return ""
    return (
        f"the loss leaves its tolerance at step {step}: by {distances[step - 1]:.1e}, "
        f"tolerance {tolerance.loss:.0e}; at step {len(distances)} it is {distances[-1]:.1e}"
    )


def _state_fault(
    distances: dict[int, dict[str, float]], step: int | None, tolerance: Tolerance, network: Layer
) -> str:
    if step is None:
        return ""
    name = worst(distances[step])
    return (
        f"parameters leave their tolerance at step {step}: {place(network, name)} by "
        f"{distances[step][name]:.1e}, tolerance {tolerance.parameter:.0e}"
    )
