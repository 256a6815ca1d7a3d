"""`chainrule train`: its flags, what it prints and what it leaves behind."""

import json
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli import options
from chainrule.data.missing import POLICIES
from chainrule.data.target import TASKS
from chainrule.layers import LAYERS
from chainrule.optim import OPTIMIZERS
from cli.tables import NAMES, write_table

QUICK = ("--epochs", 2, "--hidden", 8)
PROMISED = ["loss", "epochs", "steps", "seconds", "backend", "device", "dtype", "seed", "run"]


def saved(run: str) -> dict:
    return json.loads(Path(run, "model.json").read_text())


def test_the_names_offered_are_those_there_are():
    assert set(options.OPTIMIZERS) == set(OPTIMIZERS)
    assert set(options.ACTIVATIONS.values()) == {
        name for name in LAYERS if hasattr(LAYERS[name], "suited_init")
    } - {"Softmax"}
    assert options.MISSING == POLICIES
    assert options.TASKS == TASKS


def test_json_is_one_object_with_what_is_promised(good):
    result = good("train", "digits", *QUICK)
    assert [name for name in PROMISED if name not in result] == []
    assert 0.1 < result["accuracy"] <= 1
    assert result["epochs"] == 2
    assert result["steps"] == 2 * 45
    assert (result["backend"], result["device"], result["dtype"]) == ("numpy", "cpu", "float32")
    assert result["run"] == "runs/digits"
    assert json.loads(Path("runs/digits/metrics.json").read_text()) == result


def test_the_run_folder_holds_everything(good):
    good("train", "digits", *QUICK)
    assert sorted(path.name for path in Path("runs/digits").iterdir()) == [
        "history.jsonl",
        "metrics.json",
        "model.json",
        "model.safetensors",
        "run.json",
        "schema.json",
        "training.safetensors",
    ]
    assert cr.Trainer.load("runs/digits").predict_labels(cr.data.load("digits").X[:3]).shape == (3,)


def test_the_score_is_of_rows_held_out(good):
    result = good("train", "iris", *QUICK, "--validation", 0.4)
    assert (result["rows"], result["held_out_rows"]) == (90, 60)
    everything = good("train", "iris", *QUICK, "--validation", 0)
    assert (everything["rows"], everything["held_out_rows"]) == (150, 0)


def test_a_reader_gets_the_score_the_folder_and_the_next_command(run):
    result = run("train", "digits", *QUICK)
    assert result.exit_code == 0
    assert result.stdout.startswith("held-out accuracy 0.")
    assert "run folder: runs/digits\n" in result.stdout
    assert "chainrule plot runs/digits" in result.stdout
    assert "auto chose numpy" in result.stderr
    assert "1438 rows to train on, 359 held out" in result.stderr
    assert "epoch 1/2  loss " in result.stderr
    assert "epoch 2/2  loss " in result.stderr


def test_quiet_says_nothing_on_standard_error(run):
    result = run("train", "digits", *QUICK, "--quiet")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "held-out accuracy" in result.stdout


def test_a_run_never_overwrites_another(run, good):
    assert [good("train", "xor", *QUICK)["run"] for _ in range(3)] == [
        "runs/xor",
        "runs/xor-2",
        "runs/xor-3",
    ]
    assert good("train", "xor", *QUICK, "--out", "mine/first")["run"] == "mine/first"
    before = Path("mine/first/model.safetensors").read_bytes()
    again = run("train", "xor", *QUICK, "--out", "mine/first", "--seed", 1)
    assert again.exit_code == 2
    assert "mine/first: this folder is not empty; choose another, or pass --resume" in again.stderr
    assert Path("mine/first/model.safetensors").read_bytes() == before


def test_an_empty_folder_is_taken_and_left_if_nothing_comes(run):
    Path("runs/xor").mkdir(parents=True)
    assert "run folder: runs/xor\n" in run("train", "xor", *QUICK).stdout
    Path("mine").mkdir()
    assert run("train", "xor", *QUICK, "--out", "mine").exit_code == 0
    failed = run("train", "linear", "--optimizer", "sgd", "--lr", "1e30", "--out", "gone")
    assert failed.exit_code == 1
    assert not Path("gone").exists()


def test_divergence_is_one_line_with_exit_code_1(run):
    result = run("train", "linear", "--optimizer", "sgd", "--lr", "1e30", "--quiet")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("chainrule: error: the loss became ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", options.ACTIVATIONS)
def test_activation(good, name):
    run = good("train", "xor", *QUICK, "--activation", name)["run"]
    layers = saved(run)["model"]["layers"]
    assert [layer["layer"] for layer in layers] == ["Dense", options.ACTIVATIONS[name], "Dense"]


@pytest.mark.parametrize("name", options.OPTIMIZERS)
def test_optimizer(good, name):
    result = good("train", "iris", *QUICK, "--optimizer", name, "--lr", 0.01)
    about = saved(result["run"])["optimizer"]
    assert about["name"] == ("adam" if name == "amsgrad" else name)
    assert about["lr"] == 0.01
    assert np.isfinite(result["loss"])


def test_hidden_dropout_and_batch_norm_make_the_network(good):
    run = good(
        "train", "iris", "--epochs", 1, "--hidden", "6, 4", "--dropout", 0.3, "--batch-norm"
    )["run"]
    layers = saved(run)["model"]["layers"]
    block = ["Dense", "BatchNorm", "ReLU", "Dropout"]
    assert [layer["layer"] for layer in layers] == [*block, *block, "Dense"]
    assert [layers[0]["units"], layers[4]["units"], layers[8]["units"]] == [6, 4, 3]
    assert layers[3]["rate"] == 0.3


def test_hidden_none_is_a_linear_model(good):
    result = good("train", "linear", "--hidden", "none", "--lr", 0.02)
    assert saved(result["run"])["model"]["layers"][0]["units"] == 1
    assert result["r2"] > 0.98


def test_weight_decay_is_the_loss_or_adamw_its_own(good):
    run = good("train", "xor", *QUICK, "--weight-decay", 0.25, "--clip-norm", 0.5)["run"]
    assert saved(run)["penalties"] == {
        "l1": 0.0,
        "l2": 0.25,
        "clip_norm": 0.5,
        "clip_value": None,
    }
    run = good("train", "xor", *QUICK, "--weight-decay", 0.25, "--optimizer", "adamw")["run"]
    assert saved(run)["penalties"]["l2"] == 0.0
    assert saved(run)["optimizer"]["weight_decay"] == 0.25


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_dtype_seed_and_batch_size(good, dtype):
    result = good("train", "iris", *QUICK, "--dtype", dtype, "--seed", 7, "--batch-size", 50)
    assert (result["dtype"], result["seed"], result["steps"]) == (dtype, 7, 2 * 3)


@pytest.mark.parametrize("backend", ["numpy", "torch", "jax", "strict"])
def test_backends_train_the_same_network(good, backend):
    numpy = good("train", "iris", *QUICK, "--dtype", "float64", "--backend", "numpy")
    other = good("train", "iris", *QUICK, "--dtype", "float64", "--backend", backend)
    assert other["backend"] == backend
    assert other["loss"] == pytest.approx(numpy["loss"], rel=1e-9)


def test_one_seed_is_one_run(good):
    first = good("train", "wine", *QUICK, "--seed", 3)
    second = good("train", "wine", *QUICK, "--seed", 3)
    other = good("train", "wine", *QUICK, "--seed", 4)
    models = [Path(r["run"], "model.safetensors").read_bytes() for r in (first, second, other)]
    assert models[0] == models[1] != models[2]
    assert first["loss"] == second["loss"]


def test_patience_stops_and_keeps_the_best(good):
    result = good("train", "iris", "--lr", 0.5, "--epochs", 200, "--patience", 2)
    assert result["epochs"] < 200
    assert "val_loss was best at" in result["stopped"]
    lines = Path("runs/iris/history.jsonl").read_text().splitlines()
    assert result["loss"] == pytest.approx(min(json.loads(line)["val_loss"] for line in lines))
    result = good("train", "iris", "--lr", 0.5, "--patience", 1, "--validation", 0)
    assert "loss was best at" in result["stopped"]


def test_time_budget_stops_after_an_epoch(run, good):
    assert "stopped early: " in run("train", "xor", "--time-budget", 0).stdout
    result = good("train", "iris", "--epochs", 50, "--time-budget", 0)
    assert result["epochs"] == 1
    assert "s allowed are spent" in result["stopped"]


def test_checkpoints_only_when_asked(good):
    good("train", "iris", *QUICK)
    assert not Path("runs/iris/checkpoints").exists()
    good("train", "iris", *QUICK, "--checkpoint-every", 3)
    names = sorted(path.name for path in Path("runs/iris-2/checkpoints").iterdir())
    assert names == ["step-000000006.safetensors", "step-000000008.safetensors"]


def test_a_table_of_numbers_and_categories(good, people):
    result = good("train", people, "--target", "bought", "--hidden", 16)
    assert result["accuracy"] > 0.9
    assert (result["task"], result["target"], result["run"]) == (
        "classification",
        "bought",
        "runs/people",
    )
    schema = json.loads(Path("runs/people/schema.json").read_text())
    assert [column["name"] for column in schema["columns"]] == ["age", "hours", "colour"]


def test_the_last_column_is_the_target_unless_named(run, good, people):
    result = run("train", people, *QUICK)
    assert "target 'bought', the last column; for another pass --target NAME" in result.stderr
    result = good("train", people, *QUICK, "--target", "colour")
    assert result["target"] == "colour"


def test_task(good, people):
    assert "r2" in good("train", people, *QUICK, "--target", "age")
    ages = good(
        "train", people, *QUICK, "--target", "age", "--task", "classification", "--validation", 0
    )
    assert ages["task"] == "classification"


def test_a_regression_is_scored_in_the_units_of_the_file(good, prices):
    result = good("train", prices, "--epochs", 300, "--lr", 0.01)
    assert result["r2"] > 0.98
    assert 100 < result["mae"] < 60_000
    assert result["loss"] < 0.1


def test_missing_cells_are_filled_or_left_out(run, good, people):
    text = people.read_text().splitlines()
    text[3] = "," + text[3].split(",", 1)[1]
    people.write_text("\n".join(text) + "\n")
    assert run("train", people, *QUICK).exit_code == 2
    for policy in ("mean", "median", "most_frequent"):
        assert good("train", people, *QUICK, "--missing", policy)["rows"] == 48
    result = run("train", people, *QUICK, "--missing", "drop")
    assert "1 rows with a missing cell are left out" in result.stderr
    assert "47 rows to train on, 12 held out" in result.stderr
    write_table(people, [["", "1", "red", "yes"]] * 9, NAMES)
    result = run("train", people, *QUICK, "--missing", "drop")
    assert result.exit_code == 2
    assert "--missing drop: every row has a missing cell" in result.stderr


def test_delimiter_and_no_header(good, people):
    lines = people.read_text().splitlines()[1:]
    path = Path("plain.csv")
    path.write_text("\n".join(lines).replace(",", "\t") + "\n")
    result = good("train", path, *QUICK, "--no-header", "--delimiter", "\\t")
    assert result["target"] == "column4"
    assert result["rows"] + result["held_out_rows"] == 60


def test_arrays_in_npz_npy_and_parquet(good, people):
    random = np.random.default_rng(0)
    x = random.normal(3, 2, (50, 4)).astype(np.float32)
    y = (x[:, 0] > 3).astype(np.int64)
    np.savez("pair.npz", X=x, y=y)
    np.save("x.npy", x)
    np.save("y.npy", y[:, None])
    both = good("train", "pair.npz")
    assert both["accuracy"] >= 0.8
    apart = good("train", "x.npy", "--target", "y.npy")
    assert apart["accuracy"] == both["accuracy"]
    table = cr.data.open_table(people)
    pandas = pytest.importorskip("pandas")
    columns = {
        name: list(map(str, cells)) for name, cells in zip(table.names, table.columns, strict=True)
    }
    pandas.DataFrame(columns).to_parquet("people.parquet")
    assert good("train", "people.parquet", *QUICK)["target"] == "bought"


def test_images_of_bytes_are_divided_by_255(good):
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (40, 5, 5), dtype=np.uint8)
    labels = (images.mean(axis=(1, 2)) > 127).astype(np.uint8)
    for name, array in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)):
        head = bytes((0, 0, 8, array.ndim)) + np.asarray(array.shape, ">u4").tobytes()
        Path(name).write_bytes(head + array.tobytes())
    result = good("train", "train-images-idx3-ubyte", *QUICK)
    assert result["run"] == "runs/train-images-idx3-ubyte"
    schema = json.loads(Path(result["run"], "schema.json").read_text())
    assert {(column["mean"], column["scale"]) for column in schema["columns"]} == {(0.0, 255.0)}
    assert len(schema["columns"]) == 25


def test_numbers_as_targets_of_arrays_are_a_regression(good):
    x = np.random.default_rng(4).normal(size=(60, 2))
    np.savez("pair.npz", X=x, y=x @ [300.0, -200.0] + 1000)
    result = good("train", "pair.npz", "--lr", 0.02)
    assert result["task"] == "regression"
    assert result["r2"] > 0.9
    assert 1 < result["mae"] < 100


def test_a_constant_feature_of_an_array_is_warned_about(run):
    x = np.random.default_rng(2).normal(size=(40, 3))
    x[:, 1] = 7
    np.savez("pair.npz", X=x, y=(x[:, 0] > 0).astype(int))
    result = run("train", "pair.npz", *QUICK)
    assert result.exit_code == 0
    assert "warning: pair.npz: constant in the training rows, scaled by 1: 'x1'" in result.stderr


@pytest.mark.parametrize(
    ("name", "score", "least"),
    [
        ("iris", "accuracy", 0.9),
        ("wine", "accuracy", 0.93),
        ("breast_cancer", "accuracy", 0.93),
        ("xor", "accuracy", 1.0),
        ("linear", "r2", 0.98),
        ("diabetes", "r2", 0.1),
    ],
)
def test_the_defaults_suit_every_built_in_data_set(good, name, score, least):
    assert good("train", name)[score] >= least


def test_the_defaults_suit_the_digits_whatever_the_seed(good):
    accuracies = [good("train", "digits", "--seed", seed)["accuracy"] for seed in range(5)]
    assert np.mean(accuracies) >= 0.97
    assert min(accuracies) >= 0.96


def test_save_leaves_the_run_of_a_table_alone(good, people):
    good("train", people, "--hidden", 4, "--epochs", 1, "--out", "run")
    trainer = cr.Trainer(cr.Sequential(cr.Dense(2)), loss="softmax_cross_entropy").build((3,))
    with pytest.raises(cr.InputError, match="holds a run of `chainrule train`"):
        trainer.save("run")
