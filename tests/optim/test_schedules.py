"""Schedules against torch.optim.lr_scheduler, and their edges."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from chainrule import optim
from chainrule.errors import InputError


def torch_rates(make: Any, lr: float, steps: int) -> list[float]:
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    scheduler = make(optimizer, torch.optim.lr_scheduler)
    rates: list[float] = []
    for step in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if step < steps - 1:
            scheduler.step()
    return rates


CASES = {
    "constant": (optim.constant(0.1), lambda o, s: s.ConstantLR(o, factor=1.0), 30),
    "step_decay": (optim.step_decay(0.1, 7, 0.5), lambda o, s: s.StepLR(o, 7, gamma=0.5), 30),
    "exponential": (
        optim.exponential(0.1, 0.97),
        lambda o, s: s.ExponentialLR(o, gamma=0.97),
        100,
    ),
    "cosine": (
        optim.cosine(0.1, 40, final=0.01),
        lambda o, s: s.CosineAnnealingLR(o, T_max=40, eta_min=0.01),
        41,
    ),
    "warmup": (
        optim.warmup(0.1, 10, start=0.2),
        lambda o, s: s.LinearLR(o, start_factor=0.2, total_iters=10),
        30,
    ),
    "one_cycle": (
        optim.one_cycle(0.1, 50),
        lambda o, s: s.OneCycleLR(o, max_lr=0.1, total_steps=50, cycle_momentum=False),
        50,
    ),
    "one_cycle, settings": (
        optim.one_cycle(0.1, 33, rise=0.45, start_div=10, final_div=100),
        lambda o, s: s.OneCycleLR(
            o,
            max_lr=0.1,
            total_steps=33,
            pct_start=0.45,
            div_factor=10,
            final_div_factor=100,
            cycle_momentum=False,
        ),
        33,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_rates_are_torchs(case):
    schedule, make, steps = CASES[case]
    expected = torch_rates(make, 0.1, steps)
    actual = [schedule(step) for step in range(steps)]
    assert all(isinstance(rate, float) for rate in actual)
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-16)


def test_warmup_then_cosine_is_torchs_sequence():
    def make(optimizer: Any, s: Any) -> Any:
        first = s.LinearLR(optimizer, start_factor=0.1, total_iters=5)
        return s.SequentialLR(optimizer, [first, s.CosineAnnealingLR(optimizer, 20)], [5])

    schedule = optim.warmup(optim.cosine(0.1, 20), 5, start=0.1)
    expected = torch_rates(make, 0.1, 25)
    np.testing.assert_allclose([schedule(k) for k in range(25)], expected, rtol=1e-12)


def test_rates_stay_where_a_schedule_ends():
    assert optim.cosine(0.1, 10, final=0.02)(10) == 0.02
    assert optim.cosine(0.1, 10, final=0.02)(11) == 0.02
    cycle = optim.one_cycle(0.1, 10)
    assert cycle(9) == pytest.approx(0.1 / 25 / 1e4, rel=1e-12)
    assert cycle(1000) == cycle(9)
    assert optim.warmup(0.1, 3)(1000) == 0.1


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_short_cycle_has_finite_rates(steps):
    cycle = optim.one_cycle(0.1, steps)
    assert all(0 < cycle(step) <= 0.1 for step in range(steps + 1))


@pytest.mark.parametrize("schedule", [optim.exponential(0.1, 0.5), optim.step_decay(0.1, 1)])
def test_a_rate_fades_to_zero_without_an_error(schedule):
    assert schedule(10**7) == 0.0


PLATEAUS = {
    "defaults": {},
    "quick": {"patience": 2, "factor": 0.5},
    "cooldown": {"patience": 1, "cooldown": 3, "factor": 0.5},
    "min_lr": {"patience": 0, "factor": 0.3, "min_lr": 1e-3},
    "max": {"patience": 1, "mode": "max", "threshold": 0.01},
    "abs": {"patience": 1, "threshold_mode": "abs", "threshold": 0.05},
    "max abs": {"patience": 1, "mode": "max", "threshold_mode": "abs", "threshold": 0.05},
}


@pytest.mark.parametrize("case", PLATEAUS)
@pytest.mark.parametrize("seed", [0, 1])
def test_on_plateau_is_torchs(case, seed):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    values = np.exp(-np.arange(80) / 15) + 0.05 * rng.standard_normal(80)
    values[[0, 7, 50]] = math.nan, math.inf, -math.inf
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **PLATEAUS[case])
    schedule = optim.on_plateau(0.1, **PLATEAUS[case])
    state = schedule.start()
    assert schedule(0) == 0.1
    seen = set()
    for step, value in enumerate(values):
        scheduler.step(value)
        before = dict(state)
        observed = schedule.observe(value, state)
        assert state == before
        state = json.loads(json.dumps(observed))
        rate = optimizer.param_groups[0]["lr"]
        assert schedule(step, state) == optim.rate_at(schedule, step, state) == rate
        assert (state["bad"], state["cooldown"]) == (
            scheduler.num_bad_epochs,
            scheduler.cooldown_counter,
        )
        seen.add(rate)
    assert len(seen) > 1


def test_rate_at_takes_numbers_and_schedules():
    assert optim.rate_at(1, 5) == 1.0
    assert optim.rate_at(optim.exponential(1.0, 0.5), 3) == 0.125
    with pytest.raises(InputError, match=r"^lr=on_plateau\(\.\.\.\): expected the state"):
        optim.rate_at(optim.on_plateau(0.1), 0)


def test_schedules_are_frozen_and_hashable():
    schedule = optim.warmup(optim.cosine(0.1, 20), 5)
    assert hash(schedule) == hash(optim.warmup(optim.cosine(0.1, 20), 5))
    with pytest.raises(dataclasses.FrozenInstanceError):
        schedule.steps = 3
