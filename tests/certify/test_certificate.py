"""The certificate's table, verdict and JSON, from numbers put in by hand."""

import json
from dataclasses import replace
from math import inf

import pytest

from chainrule.certify.certificate import Certificate, Reference, Row

GOOD = Row(
    backend="numpy",
    device="cpu",
    version="2.4.6",
    dtype="float64",
    weights_agree=True,
    batches_agree=True,
    masks_agree=True,
    gradients={"weight": 0.0, "bias": 2.5e-16},
    losses=[0.0, 1.2e-16],
    states={1: {"weight": 0.0}, 2: {"weight": 3e-16, "bias": 1e-17}},
    loss_step=None,
    state_step=None,
    faults=(),
    seconds=0.125,
)
BAD = replace(
    GOOD,
    backend="torch:cuda",
    device="cuda:0",
    dtype="float32",
    batches_agree=False,
    masks_agree=False,
    gradients={"weight": inf, "bias": 1e-6},
    losses=[2e-3],
    states={1: {"weight": 0.5, "bias": 0.25}},
    loss_step=1,
    state_step=1,
    faults=("batches differ", "the loss leaves"),
    seconds=12.0,
)
PASSED = Certificate(
    dataset="linear",
    shape=(200, 3),
    network="Dense(1)",
    loss="SquaredError()",
    optimizer="SGD(lr=0.1)",
    seed=3,
    steps=2,
    batch_size=32,
    marks=(1, 2),
    reference=Reference("2.4.6", [1.0, 0.5], "ab", "cd", 0.5),
    undetermined=(),
    rows=(GOOD,),
)
FAILED = replace(PASSED, rows=(GOOD, BAD), undetermined=("bias of Dense(1)",))


def test_a_passing_table():
    assert str(PASSED) == repr(PASSED)
    assert str(PASSED).splitlines() == [
        "certify linear: 2 steps of 32 rows, seed 3, against float64 NumPy 2.4.6",
        "Dense(1), SquaredError(), SGD(lr=0.1)",
        "",
        "backend    dtype    bits  gradient   loss@1        2  params@1        2  seconds",
        "numpy      float64  same   2.5e-16        0  1.2e-16         0  3.0e-16     0.12  pass",
        "tolerance  float64  same   1.0e-10  1.0e-08            1.0e-08",
        "",
        "PASSED: 1 of 1 runs",
    ]


def test_a_failing_table_says_what_failed():
    lines = str(FAILED).splitlines()
    assert lines[5].split() == [
        *("torch:cuda", "float32", "batches,", "masks", "inf", "2.0e-03", "-", "5.0e-01", "-"),
        *("12.00", "FAIL"),
    ]
    assert lines[6].split()[:2] == ["tolerance", "float64"]
    assert lines[7].split()[:2] == ["tolerance", "float32"]
    assert lines[8:] == [
        "",
        "not compared, nor is running state: bias of Dense(1); its true gradient is zero",
        "torch:cuda float32: batches differ",
        "torch:cuda float32: the loss leaves",
        "FAILED: 1 of 2 runs",
    ]
    assert not FAILED.passed
    ends = {line.index("s@1") for line in lines if "s@1" in line}
    assert len(ends) == 1


def test_columns_are_aligned():
    lines = str(FAILED).splitlines()[3:6]
    for title in ("dtype", "bits"):
        start = lines[0].index(title)
        assert all(line[start - 1] == " " and line[start] != " " for line in lines)
    stop = lines[0].index("gradient") + len("gradient")
    assert all(line[stop - 1] != " " and line[stop] == " " for line in lines)


def test_json_has_null_where_there_is_no_number():
    about = json.loads(json.dumps(FAILED.to_json(), allow_nan=False))
    assert set(about) == {
        *("format", "passed", "dataset", "shape", "network", "loss", "optimizer", "seed", "steps"),
        *("batch_size", "versions", "platform", "tolerances", "reference", "undetermined", "rows"),
    }
    assert about["passed"] is False
    assert about["reference"] == {
        "backend": "numpy",
        "device": "cpu",
        "dtype": "float64",
        "version": "2.4.6",
        "losses": {"1": 1.0, "2": 0.5},
        "batches": "ab",
        "masks": "cd",
        "seconds": 0.5,
    }
    assert about["undetermined"] == ["bias of Dense(1)"]
    assert about["rows"][1] == {
        "backend": "torch:cuda",
        "device": "cuda:0",
        "version": "2.4.6",
        "dtype": "float32",
        "matmul_precision": "float32",
        "deterministic": False,
        "passed": False,
        "weights_agree": True,
        "batches_agree": False,
        "masks_agree": False,
        "repeats": None,
        "gradient": None,
        "gradients": {"weight": None, "bias": 1e-6},
        "loss": {"1": 2e-3, "2": None},
        "parameter": {"1": 0.5, "2": None},
        "parameters": {"1": {"weight": 0.5, "bias": 0.25}, "2": {}},
        "first_loss_step": 1,
        "first_parameter_step": 1,
        "first_parameter": "weight",
        "faults": ["batches differ", "the loss leaves"],
        "seconds": 12.0,
    }
    assert set(about["rows"][0]) == set(about["rows"][1])


@pytest.mark.parametrize(("row", "passed"), [(GOOD, True), (BAD, False)])
def test_a_row_passes_without_faults(row, passed):
    assert row.passed is passed
