"""`chainrule inspect`, `plot` and `backends`."""

import sys
from pathlib import Path

import pytest

import chainrule as cr
from chainrule.cli.plot import spans_decades


@pytest.fixture
def trained(run):
    result = run("train", "iris", "--epochs", 3, "--hidden", "8,5", "--batch-norm", "--quiet")
    assert result.exit_code == 0
    return run


def test_inspect_shows_every_layer_and_the_total(trained, good):
    shown = trained("inspect", "runs/iris")
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert lines[0].split() == ["name", "layer", "in", "out", "parameters", "bytes"]
    assert lines[1].split() == ["0", "Dense(8)", "(4)", "(8)", "40", "160"]
    result = good("inspect", "runs/iris")
    assert [layer["layer"] for layer in result["layers"]] == [
        "Dense(8)",
        "BatchNorm()",
        "ReLU()",
        "Dense(5)",
        "BatchNorm()",
        "ReLU()",
        "Dense(3)",
    ]
    assert [layer["out_shape"] for layer in result["layers"]] == [[8]] * 3 + [[5]] * 3 + [[3]]
    dense = [layer["parameters"] for layer in result["layers"] if layer["layer"][0] == "D"]
    assert dense == [4 * 8 + 8, 8 * 5 + 5, 5 * 3 + 3]
    assert result["bytes"] == 4 * result["parameters"]
    assert result["metrics"]["epochs"] == 3


def test_inspect_names_nested_layers_by_their_path(run):
    block = cr.Sequential(cr.Dense(3), cr.Tanh())
    trainer = cr.Trainer(cr.Sequential(block, cr.Dense(2)), "softmax_cross_entropy")
    trainer.build((4,)).save("mine")
    lines = run("inspect", "mine").stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["0.0", "Dense(3)"],
        ["0.1", "Tanh()"],
        ["1", "Dense(2)"],
    ]
    assert [line.split()[-2] for line in lines[1:5]] == ["15", "0", "8", "23"]


def test_inspect_takes_a_single_layer_too(run):
    trainer = cr.Trainer(cr.Dense(2), "softmax_cross_entropy", dtype="float64")
    trainer.build((4,)).save("mine")
    assert run("inspect", "mine").stdout.splitlines()[1].split() == [
        "Dense(2)",
        "(4)",
        "(2)",
        "10",
        "80",
    ]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("model.json", "runs/iris/model.json: not JSON"),
        ("model.safetensors", "runs/iris/model.safetensors: not a whole safetensors file"),
    ],
)
def test_a_broken_file_of_a_run_is_named(trained, broken, message):
    Path("runs/iris", broken).write_text("{")
    result = trained("inspect", "runs/iris")
    assert result.exit_code == 2
    assert message in result.stderr


def test_an_unfinished_run_says_how_to_go_on(trained):
    Path("runs/iris/model.json").unlink()
    Path("runs/iris/checkpoints").mkdir()
    assert "--resume" in trained("inspect", "runs/iris").stderr


@pytest.mark.parametrize(
    ("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_plot_draws_into_a_file(trained, ending, start):
    pytest.importorskip("matplotlib")
    result = trained("plot", "runs/iris", "-o", f"curve.{ending}")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"curve.{ending}\n"
    assert Path(f"curve.{ending}").read_bytes().startswith(start)


def test_plot_needs_no_name_and_no_held_out_rows(run):
    pytest.importorskip("matplotlib")
    assert run("train", "xor", "--epochs", 2, "--validation", 0).exit_code == 0
    assert run("plot", "runs/xor").stdout == "runs/xor/history.png\n"
    assert Path("runs/xor/history.png").stat().st_size > 5000


def test_plot_shows_training_held_out_and_score(trained):
    pytest.importorskip("matplotlib")
    trained("plot", "runs/iris", "-o", "curve.svg")
    text = Path("curve.svg").read_text()
    for word in ("training", "held out", "loss", "epoch", "held-out accuracy", "runs/iris"):
        assert f"<!-- {word} -->" in text


def test_the_axis_is_logarithmic_where_the_loss_spans_decades():
    assert spans_decades([2.0, 0.1])
    assert not spans_decades([2.0, 0.3])
    assert not spans_decades([2.0, 0.0])
    assert not spans_decades([float("nan")])
    assert spans_decades([float("inf"), 2.0, 0.1])


def test_plot_without_matplotlib_names_the_extra(trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = trained("plot", "runs/iris")
    assert result.exit_code == 2
    assert 'not installed: pip install "chainrule[plot]"' in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("runs/irsi",), "no such folder (did you mean 'iris'?)"),
        (("runs",), "runs: holds no history.jsonl"),
        (("runs/iris", "-o", "curve.xyz"), "curve.xyz: unknown ending; expected .png, .svg or"),
        (("runs/iris", "-o", "absent/curve.png"), "absent/curve.png: No such file or directory"),
    ],
)
def test_plot_names_what_it_cannot_use(trained, arguments, message):
    pytest.importorskip("matplotlib")
    result = trained("plot", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_plot_of_a_history_without_epochs(trained):
    Path("runs/iris/history.jsonl").write_text("")
    assert "holds no epochs" in trained("plot", "runs/iris").stderr


def test_backends_says_what_can_run(run, good):
    shown = run("backends").stdout
    assert shown.splitlines()[0].split()[:4] == ["backend", "usable", "version", "devices"]
    found = {status["name"]: status for status in good("backends")["backends"]}
    assert set(found) == {"numpy", "cupy", "torch", "jax", "strict"}
    assert found["numpy"]["usable"]
    assert found["numpy"]["devices"] == ["cpu"]
