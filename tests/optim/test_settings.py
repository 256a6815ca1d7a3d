"""Settings out of range, and settings written to JSON and read back."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest

from chainrule import optim
from chainrule.errors import InputError

OWN = {name: make for name, make in optim.OPTIMIZERS.items()}
BAD = [
    (lambda: optim.adam(-0.1), "lr=-0.1: expected a positive finite number"),
    (lambda: optim.adam(0), "lr=0: expected a positive finite number"),
    (lambda: optim.sgd(math.nan), "lr=nan: expected a positive finite number"),
    (lambda: optim.sgd(math.inf), "lr=inf: expected a positive finite number"),
    (lambda: optim.sgd(10**400), "expected a positive finite number"),
    (lambda: optim.sgd(True), "lr=True: expected a positive finite number"),
    (lambda: optim.adam("0.1"), "lr='0.1': expected a positive finite number or a schedule"),
    (lambda: optim.adam(None), "lr=None: expected a positive finite number or a schedule"),
    (lambda: optim.adam(b1=1), "b1=1: expected a number in [0, 1)"),
    (lambda: optim.adam(b2=-0.5), "b2=-0.5: expected a number in [0, 1)"),
    (lambda: optim.adam(b2="x"), "b2='x': expected a number in [0, 1)"),
    (lambda: optim.adam(eps=0), "eps=0: expected a positive finite number"),
    (lambda: optim.adam(amsgrad=1), "amsgrad=1: expected True or False"),
    (lambda: optim.sgd(momentum=1.0), "momentum=1.0: expected a number in [0, 1)"),
    (lambda: optim.sgd(nesterov=True), "nesterov=True: expected a momentum above 0"),
    (lambda: optim.sgd(nesterov="no", momentum=0.5), "nesterov='no': expected True or False"),
    (
        lambda: optim.adamw(weight_decay=-1),
        "weight_decay=-1: expected a finite number of at least 0",
    ),
    (lambda: optim.adagrad(initial=-1), "initial=-1: expected a finite number of at least 0"),
    (lambda: optim.adadelta(rho=1), "rho=1: expected a number in [0, 1)"),
    (lambda: optim.rmsprop(centered=None), "centered=None: expected True or False"),
    (lambda: optim.nadam(momentum_decay=math.nan), "momentum_decay=nan: expected a finite number"),
    (lambda: optim.lbfgs(history=0), "history=0: expected a whole number of at least 1"),
    (lambda: optim.lbfgs(history=2.0), "history=2.0: expected a whole number of at least 1"),
    (lambda: optim.lbfgs(line_search="x"), "line_search='x': expected 'strong_wolfe' or None"),
    (
        lambda: optim.lbfgs(optim.on_plateau(1.0)),
        "lr=on_plateau(...): expected a number or another",
    ),
    (lambda: optim.cosine(-1, 5), "lr=-1: expected a positive finite number"),
    (lambda: optim.cosine(1, 0), "steps=0: expected a whole number of at least 1"),
    (lambda: optim.cosine(1, True), "steps=True: expected a whole number of at least 1"),
    (lambda: optim.step_decay(1, 5, 1.5), "factor=1.5: expected a number in (0, 1]"),
    (lambda: optim.one_cycle(1, 5, rise=1), "rise=1: expected a number in (0, 1)"),
    (lambda: optim.on_plateau(1, mode="up"), "mode='up': expected 'min' or 'max'"),
    (lambda: optim.on_plateau(1, mode=[]), "mode=[]: expected 'min' or 'max'"),
    (lambda: optim.warmup(optim.warmup(1, 2), 3), "lr=warmup(...): expected a number or another"),
    (lambda: optim.warmup(optim.on_plateau(1), 3), "lr=on_plateau(...): expected a number or"),
]


@pytest.mark.parametrize(("make", "message"), BAD)
def test_a_setting_out_of_range_is_named_in_one_line(make, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        make()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", OWN)
def test_settings_survive_json(name):
    for lr in (
        0.25,
        np.float32(0.25),
        optim.constant(0.1),
        optim.warmup(optim.cosine(0.1, 20, final=1e-3), 5),
        optim.one_cycle(0.1, 10),
    ):
        optimizer = optim.OPTIMIZERS[name](lr)
        text = json.dumps(optim.to_json(optimizer), allow_nan=False)
        assert optim.from_json(json.loads(text)) == optimizer


@pytest.mark.parametrize(
    "schedule",
    [
        optim.constant(0.1),
        optim.step_decay(0.1, 3),
        optim.exponential(0.1, 0.5),
        optim.cosine(0.1, 5),
        optim.warmup(0.1, 5),
        optim.one_cycle(0.1, 5),
        optim.on_plateau(0.1, mode="max"),
    ],
)
def test_every_schedule_survives_json(schedule):
    data = optim.to_json(optim.adam(schedule))
    assert data["lr"]["name"] == schedule.name
    assert optim.from_json(data).lr == schedule
    assert type(schedule) is optim.SCHEDULES[schedule.name]


def test_json_is_flat_and_plain():
    assert optim.to_json(optim.amsgrad(1e-2)) == {
        "name": "adam",
        "lr": 0.01,
        "b1": 0.9,
        "b2": 0.999,
        "eps": 1e-8,
        "amsgrad": True,
    }
    assert optim.from_json({"name": "amsgrad", "lr": 0.5}) == optim.amsgrad(0.5)
    assert optim.to_json(optim.lbfgs(line_search=None))["line_search"] is None
    assert dataclasses.asdict(optim.sgd(0.1)) == {"lr": 0.1, "momentum": 0.0, "nesterov": False}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "adan"}, r"optimizer='adan' is unknown \(did you mean 'adam"),
        ({}, "optimizer='' is unknown"),
        ({"name": 3}, "optimizer=3 is unknown"),
        ({"name": ["adam"]}, "is unknown"),
        ([], r"optimizer=\[\]: expected an object"),
        ({"name": "adamw", "decay": 0.5}, r"'decay' \(did you mean 'weight_decay'\?\)"),
        ({"name": "amsgrad", "amsgrad": False}, "amsgrad: unknown setting 'amsgrad'"),
        ({"name": "adam", "b1": 2}, r"b1=2: expected a number in \[0, 1\)"),
        ({"name": "adam", "lr": []}, r"lr=\[\]: expected a positive finite number or a schedule"),
        ({"name": "adam", "lr": {"name": "cosin"}}, r"schedule='cosin'.*'cosine'"),
        ({"name": "adam", "lr": {"name": "cosine", "lr": 1}}, "cosine: the setting 'steps' is"),
    ],
)
def test_json_that_does_not_fit_is_refused(data, message):
    with pytest.raises(InputError, match=message) as caught:
        optim.from_json(data)
    assert "\n" not in str(caught.value)


def test_schedules_nested_without_end_are_refused():
    lr = 0.1
    for _ in range(5000):
        lr = {"name": "warmup", "lr": lr, "steps": 1}
    with pytest.raises(InputError, match="nested too deep"):
        optim.from_json({"name": "adam", "lr": lr})


def test_custom_objects_are_not_saved():
    class Mine(optim.Adam):
        pass

    with pytest.raises(InputError, match=r"^optimizer=Mine: a custom optimizer cannot be saved"):
        optim.to_json(Mine())
    with pytest.raises(InputError, match=r"^schedule=function: a custom schedule cannot be saved"):
        optim.to_json(optim.adam(lambda step: 0.1))


@pytest.mark.parametrize("name", OWN)
def test_the_table_holds_every_optimizer_by_its_name(name):
    optimizer = OWN[name]()
    assert type(optimizer).name == ("adam" if name == "amsgrad" else name)
    assert getattr(optim, name) is OWN[name]
    assert hash(optimizer) == hash(OWN[name]())
