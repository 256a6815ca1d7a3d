"""`--dtype`, `--matmul-precision` and `--deterministic`: what they do, report and refuse."""

import json
from pathlib import Path

import pytest

from libraries import make_backend

QUICK = ("--epochs", 2, "--hidden", 8)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_bfloat16_trains_and_is_used_elsewhere_in_another_dtype(run, good, library):
    make_backend(library)
    trained = good("train", "iris", *QUICK, "--backend", library, "--dtype", "bfloat16")
    assert (trained["dtype"], trained["matmul_precision"]) == ("bfloat16", "float32")
    assert trained["deterministic"] is False
    settings = json.loads(Path("runs/iris/run.json").read_text())["settings"]
    assert settings["dtype"] == "bfloat16"
    assert "bfloat16" in run("inspect", "runs/iris").stdout.splitlines()[-1]
    message = "dtype='bfloat16': NumPy on cpu has none; use float32, float64, float16, or"
    for command in (("evaluate", "runs/iris", "iris"), ("predict", "runs/iris", "iris")):
        refused = run(*command)
        assert refused.exit_code == 2
        assert refused.stderr.startswith(f"chainrule: error: {message}")
        assert run(*command, "--dtype", "float32").exit_code == 0
        assert run(*command, "--backend", library).exit_code == 0
    scores = good("evaluate", "runs/iris", "iris", "--backend", library)
    wide = good("evaluate", "runs/iris", "iris", "--dtype", "float64")
    assert (scores["dtype"], wide["dtype"]) == ("bfloat16", "float64")
    assert wide["loss"] == pytest.approx(scores["loss"], rel=0.02)


def test_tf32_and_deterministic_are_reported_everywhere(run, good):
    make_backend("torch")
    options = ("--backend", "torch", "--matmul-precision", "tf32", "--deterministic")
    trained = good("train", "iris", *QUICK, *options)
    assert [trained[name] for name in ("dtype", "matmul_precision", "deterministic")] == [
        *("float32", "tf32", True)
    ]
    summary = run("train", "iris", *QUICK, *options).stdout
    assert "float32, tf32 products, deterministic, seed 0" in summary
    about = good("inspect", "runs/iris")
    assert (about["matmul_precision"], about["deterministic"]) == ("tf32", True)
    assert about["metrics"]["matmul_precision"] == "tf32"
    record = json.loads(Path("runs/iris/history.jsonl").read_text().splitlines()[-1])
    assert (record["matmul_precision"], record["deterministic"]) == ("tf32", True)
    scores = good("evaluate", "runs/iris", "iris", "--dtype", "float32")
    assert (scores["backend"], scores["matmul_precision"]) == ("numpy", "float32")


def test_deterministic_runs_leave_the_same_files(good):
    made = [good("train", "iris", *QUICK, "--deterministic")["run"] for _ in range(2)]
    assert made[0] != made[1]
    for name in ("model.safetensors", "schema.json"):
        assert len({Path(run, name).read_bytes() for run in made}) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dtype", "bfloat"), "--dtype='bfloat' is unknown (did you mean 'bfloat16'?); expected"),
        (("--dtype", "bfloat16"), "dtype='bfloat16': NumPy on cpu has none; use float32, float64"),
        (("--matmul-precision", "tf23"), "--matmul-precision='tf23' is unknown (did you mean 'tf"),
        (("--matmul-precision", "tf32"), "matmul_precision='tf32': NumPy on cpu has none; leave"),
        (
            ("--matmul-precision", "tf32", "--dtype", "float16"),
            "matmul_precision='tf32' is for dtype='float32' alone, got dtype='float16'; leave one",
        ),
    ],
)
def test_mistakes_are_one_line(run, options, message):
    result = run("train", "xor", "--backend", "numpy", *options)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"chainrule: error: {message}")
    assert result.stderr.count("\n") == 1
    assert not Path("runs").exists()
