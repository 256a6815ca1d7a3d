"""Plans: nothing is written over that is still to be read, and no two live arrays overlap."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import chainrule as cr
from backends.test_native_models import ACTIVATIONS, OTHERS, Problem, problems
from chainrule import tree
from chainrule.backends.planning import plan
from chainrule.trace.index import Affine, variable
from chainrule.trace.loops import Let, Load, Loop, Nest, Program, Store
from chainrule.trace.memory import ALIGNMENT, overwritable, reads_and_writes

FLOAT = np.dtype(np.float64)
ROW, COLUMN = variable("i0"), variable("i1")


def load(array: str, index: Affine = ROW, name: str = "t1") -> Load:
    return Load(name, array, index, FLOAT)


def store(array: str, index: Affine = ROW) -> Store:
    return Store(array, index, "t1", FLOAT)


def nest(*body: Any, size: int = 4) -> Nest:
    return Nest("nest0", [Loop("i0", size, list(body))])


LEGAL = {
    "same place": nest(load("old"), store("new")),
    "twice the same place": nest(load("old"), load("old", name="t2"), store("new")),
    "an earlier loop": Nest(
        "n", [Loop("i0", 4, [load("old")]), Loop("i0", 4, [load("other"), store("new")])]
    ),
    "rows and columns": Nest(
        "n",
        [
            Loop(
                "i0",
                4,
                [Loop("i1", 3, [load("old", ROW * 3 + COLUMN), store("new", ROW * 3 + COLUMN)])],
            )
        ],
    ),
}
ILLEGAL = {
    "read after the write": nest(load("other"), store("new"), load("old")),
    "read at the next place": nest(load("old", ROW + Affine((), 1)), store("new")),
    "read backwards": nest(load("old", ROW * -1 + Affine((), 3)), store("new")),
    "read at one place": nest(load("old", Affine()), store("new")),
    "read transposed": Nest(
        "n",
        [
            Loop(
                "i0",
                3,
                [Loop("i1", 3, [load("old", COLUMN * 3 + ROW), store("new", ROW * 3 + COLUMN)])],
            )
        ],
    ),
    "read by a value": nest(load("old", variable("t9")), store("new")),
    "a later loop": Nest("n", [Loop("i0", 4, [store("new")]), Loop("i0", 4, [load("old")])]),
    "two places": nest(load("old"), store("new"), store("new", ROW + Affine((), 1))),
    "never written": nest(load("old")),
    "each row again": Nest(
        "n", [Loop("i0", 4, [Loop("i1", 3, [load("old", COLUMN), store("new", COLUMN)])])]
    ),
    "each row again, in two loops": Nest(
        "n",
        [
            Loop(
                "i0",
                4,
                [Loop("i1", 3, [load("old", COLUMN)]), Loop("i1", 3, [store("new", COLUMN)])],
            )
        ],
    ),
    "one number, again and again": nest(load("old", Affine()), store("new", Affine())),
}


@pytest.mark.parametrize("name", LEGAL)
def test_may_be_written_over(name: str) -> None:
    assert overwritable(LEGAL[name], "old", "new")


@pytest.mark.parametrize("name", ILLEGAL)
def test_may_not_be_written_over(name: str) -> None:
    assert not overwritable(ILLEGAL[name], "old", "new")


def planned(problem: Problem) -> Program:
    return plan(problem.step(), problem.state(), problem.data(), problem.controls())


def overlapping(program: Program) -> list[tuple[str, str, int]]:
    """Return pairs of arrays of the arena that lie over each other while both are alive.

    An array is alive from the first step that writes it to the last that reads it. Two may share a
    step where one is read for the last time as the other is written over it, element by element.
    """
    lives: dict[str, list[int]] = {}
    for number, step in enumerate(program.steps):
        reads, writes = reads_and_writes(step)
        for name in reads | writes:
            lives.setdefault(name, []).append(number)
    arena = [a for a in program.arrays.values() if a.place == "arena" and a.name in lives]
    found = []
    for a, b in combinations(arena, 2):
        if a.offset + a.bytes <= b.offset or b.offset + b.bytes <= a.offset:
            continue
        old, new = (a, b) if lives[a.name][0] <= lives[b.name][0] else (b, a)
        shared = lives[new.name][0]
        if lives[old.name][-1] < shared:
            continue
        step = program.steps[shared]
        handed_on = (
            lives[old.name][-1] == shared != lives[old.name][0]
            and isinstance(step, Nest)
            and (old.offset, old.bytes) == (new.offset, new.bytes)
            and overwritable(step, old.name, new.name)
            and each_place_once(step, {old.name, new.name})
        )
        if not handed_on:
            found.append((old.name, new.name, shared))
    return found


def each_place_once(nest: Nest, arrays: set[str]) -> bool:
    """Whether no loop around them comes back to an element of these arrays."""

    def look(body: list[Any], around: list[str]) -> bool:
        return all(
            look(one.body, [*around, one.variable])
            if isinstance(one, Loop)
            else getattr(one, "array", None) not in arrays
            or all(one.index.coefficient(name) for name in around)
            for one in body
        )

    return look(nest.body, [])


@pytest.mark.parametrize("first", [*ACTIVATIONS, *OTHERS], ids=repr)
def test_live_arrays_never_overlap_in_pairs_of_layers(first: Any) -> None:
    for second in (*ACTIVATIONS, *OTHERS):
        net = cr.Sequential(cr.Dense(6), first, second, cr.Dense(6))
        loss, rule = cr.losses.SquaredError(), cr.sgd(0.1)
        problem = Problem(net, loss, rule, (), (6,), 7, 7, 1, False, "float64", 1)
        assert overlapping(planned(problem)) == [], net


@settings(max_examples=80)
@given(problems())
def test_live_arrays_never_overlap(problem: Problem) -> None:
    program = planned(problem)
    assert overlapping(program) == []
    for array in program.arrays.values():
        if array.place == "arena":
            assert array.offset % ALIGNMENT == 0
            assert array.offset + array.bytes <= program.arena


@settings(max_examples=80)
@given(problems(steps=1))
def test_loops_compute_the_step(interpreted: Any, problem: Problem) -> None:
    """The program, executed as it reads, makes of a state what the step makes of it."""
    state, data, controls = problem.state(), problem.data(), problem.controls()
    first = {name: array[0] for name, array in controls.items()}
    batch = {name: array[first["indices"]] for name, array in data.items()}
    batch |= {name: value for name, value in first.items() if name != "indices"}
    with np.errstate(all="ignore"):
        after, metrics = problem.step()(np, tree.map(np.array, state), batch)
    given_arrays = tree.flatten({"state": state, "data": data, "controls": first})
    found = interpreted(planned(problem), given_arrays)
    expected = tree.flatten({"next": after, "metrics": metrics})
    for name, value in expected.items():
        got = found.get(name)
        if got is None:
            assert value is tree.flatten({"next": state})[name]
            continue
        scale = np.max(np.abs(value), initial=0.0)
        if not name.startswith(("next.optimizer", "next.params")) or steady(problem):
            np.testing.assert_allclose(
                got.reshape(np.shape(value)), value, rtol=1e-7, atol=1e-9 * scale, err_msg=name
            )


def steady(problem: Problem) -> bool:
    """Whether no gradient is 0 but for rounding, which optimizers then enlarge."""
    return problem.optimizer.name == "sgd" and "Norm" not in repr(problem.net)


def test_the_next_state_must_be_like_the_state() -> None:
    """A step whose arrays change shape or dtype cannot be written over the old state."""
    data = {"x": np.ones((2, 3))}
    controls = {"indices": np.zeros((1, 2), np.int64), "learning_rate": np.zeros(1)}
    state = {"a": np.ones((4, 3), np.float32)}
    for change in (
        lambda xp, s: {"a": xp.astype(s["a"], xp.float64)},
        lambda xp, s: {"a": s["a"][:2]},
        lambda xp, s: {"a": xp.concat([s["a"], s["a"]])},
        lambda xp, s: {"a": s["a"], "b": s["a"] * 2.0},
        lambda xp, s: {},
    ):

        def step(xp: Any, state: Any, batch: Any, change: Any = change) -> Any:
            return change(xp, state), {"loss": xp.sum(batch["x"])}

        with pytest.raises(ValueError, match=r"state|next|a"):
            plan(step, state, data, controls)


def test_unused_inputs_and_unchanged_state_cost_nothing() -> None:
    def step(xp: Any, state: Any, batch: Any) -> Any:
        return state, {"loss": xp.sum(batch["x"])}

    state = {"a": np.ones(3), "b": np.ones((2, 2))}
    controls = {"indices": np.zeros((1, 2), np.int64), "learning_rate": np.zeros(1)}
    program = plan(step, state, {"x": np.ones((2, 3))}, controls)
    written = {name for one in program.steps for name in reads_and_writes(one)[1]}
    assert not written & {"state.a", "state.b"}
    assert [type(one) for one in program.steps] == [Nest]


def test_statements_come_in_order() -> None:
    inner = Let("t1", "copy", ("t0",), FLOAT, FLOAT)
    outer = Nest("n", [Loop("i0", 2, [inner]), store("a")])
    assert [type(s) for s in outer.statements()] == [Loop, Let, Store]
