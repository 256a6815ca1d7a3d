"""`chainrule predict` and `evaluate`: raw files in, predictions and scores out."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from cli.tables import NAMES, people_rows, write_table

TRAIN = ("train", "people.csv", "--hidden", 8, "--epochs", 30, "--quiet")


@pytest.fixture
def trained(run, people):
    assert run(*TRAIN).exit_code == 0
    return run


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_each_row_gets_a_class_and_its_probabilities(trained):
    result = trained("predict", "runs/people", "people.csv")
    assert result.exit_code == 0
    head, *lines = read(result.stdout)
    assert head == ["prediction", "probability_no", "probability_yes"]
    assert len(lines) == 60
    for prediction, no, yes in lines:
        assert float(no) + float(yes) == pytest.approx(1, abs=1e-5)
        assert prediction == ("yes" if float(yes) > float(no) else "no")
    right = [line[0] == row[3] for line, row in zip(lines, people_rows(), strict=True)]
    assert np.mean(right) > 0.75


def test_columns_are_found_by_name_in_any_order(trained):
    before = trained("predict", "runs/people", "people.csv").stdout
    turned = [[row[2], "x", row[1], row[0]] for row in people_rows()]
    write_table(Path("new.csv"), turned, ["colour", "note", "hours", "age"])
    result = trained("predict", "runs/people", "new.csv")
    assert result.stdout == before
    assert result.stderr.count("\n") == 1
    assert "warning: new.csv: columns that the model does not know are ignored: 'note'" in (
        result.stderr
    )


def test_an_absent_column_is_named_with_the_nearest(trained):
    write_table(Path("new.csv"), [row[:3] for row in people_rows()], ["aeg", "hours", "colour"])
    result = trained("predict", "runs/people", "new.csv")
    assert result.exit_code == 2
    assert (
        "new.csv:1: 1 of the 3 columns the model needs are absent: 'age' (did you mean 'aeg'"
        in (result.stderr)
    )


def test_what_was_never_seen_in_training_is_named(trained):
    rows = people_rows()
    rows[4][2] = "violet"
    rows[7][3] = "maybe"
    write_table(Path("new.csv"), rows, NAMES)
    result = trained("predict", "runs/people", "new.csv")
    assert result.exit_code == 2
    assert "new.csv:6:3: column 'colour': category 'violet' was never seen" in result.stderr
    assert trained("predict", "runs/people", "new.csv", "--unseen", "ignore").exit_code == 0
    result = trained("evaluate", "runs/people", "new.csv", "--unseen", "ignore")
    assert result.exit_code == 2
    assert "new.csv:9:4: target 'bought': label 'maybe' was never seen" in result.stderr


def test_predictions_go_to_a_file_whole(trained):
    shown = trained("predict", "runs/people", "people.csv").stdout
    result = trained("predict", "runs/people", "people.csv", "-o", "out.csv")
    assert result.stdout == ""
    assert "60 rows written to out.csv" in result.stderr
    assert Path("out.csv").read_text() == shown
    failed = trained("predict", "runs/people", "people.csv", "-o", "absent/out.csv")
    assert failed.exit_code == 2
    assert "absent/out.csv" in failed.stderr


def test_terminal_escapes_in_labels_are_harmless(run):
    rows = [[*row[:3], f"\x1b[31m{row[3]}"] for row in people_rows()]
    write_table(Path("people.csv"), rows, NAMES)
    assert run(*TRAIN).exit_code == 0
    result = run("predict", "runs/people", "people.csv", "-o", "out.csv")
    assert "\x1b[31myes" in Path("out.csv").read_text()
    result = run("predict", "runs/people", "people.csv")
    assert "\x1b" not in result.stdout
    assert "\\x1b[31myes" in result.stdout


def test_numbers_come_in_the_units_of_the_file(run, good, prices):
    assert run("train", prices, "--epochs", 300, "--lr", 0.01, "--quiet").exit_code == 0
    head, *lines = read(run("predict", "runs/prices", prices).stdout)
    assert head == ["prediction"]
    found = np.asarray([float(line[0]) for line in lines])
    wanted = np.asarray([float(row[2]) for row in read(prices.read_text())[1:]])
    scores = good("evaluate", "runs/prices", prices)
    assert scores["r2"] > 0.98
    assert scores["mae"] == pytest.approx(np.abs(found - wanted).mean(), rel=1e-3)
    total = ((wanted - wanted.mean()) ** 2).sum()
    assert scores["r2"] == pytest.approx(1 - ((wanted - found) ** 2).sum() / total, rel=1e-4)


def test_rows_with_missing_cells_keep_their_place(run, people):
    assert run(*TRAIN, "--missing", "drop").exit_code == 0
    rows = people_rows()
    rows[2][0] = ""
    write_table(Path("new.csv"), rows, NAMES)
    result = run("predict", "runs/people", "new.csv")
    lines = read(result.stdout)
    assert lines[3] == ["", "", ""]
    assert len(lines) == 61
    assert "1 rows with a missing cell have no prediction" in result.stderr
    assert "on 59 rows" in run("evaluate", "runs/people", "new.csv").stdout
    write_table(Path("none.csv"), [["", "1", "red", "no"]], NAMES)
    assert read(run("predict", "runs/people", "none.csv").stdout)[1:] == [["", "", ""]]


def test_missing_cells_are_filled_as_in_training(run, people):
    assert run(*TRAIN, "--missing", "mean").exit_code == 0
    rows = people_rows()
    rows[2][0] = ""
    write_table(Path("new.csv"), rows, NAMES)
    assert len(read(run("predict", "runs/people", "new.csv").stdout)) == 61


def test_a_built_in_data_set_and_its_arrays_predict_alike(run, good):
    assert good("train", "wine", "--epochs", 20)["accuracy"] > 0.8
    by_name = run("predict", "runs/wine", "wine").stdout
    wine = cr.data.load("wine")
    np.savez("wine.npz", X=wine.X)
    assert run("predict", "runs/wine", "wine.npz").stdout == by_name
    rows = [[repr(value) for value in row] for row in wine.X.tolist()]
    write_table(Path("wine.csv"), rows, list(wine.feature_names))
    from_table = [line[0] for line in read(run("predict", "runs/wine", "wine.csv").stdout)]
    assert from_table == [line[0] for line in read(by_name)]
    scores = good("evaluate", "runs/wine", "wine")
    assert scores["rows"] == 178
    right = [p == wine.class_names[y] for p, y in zip(from_table[1:], wine.y, strict=True)]
    assert scores["accuracy"] == pytest.approx(np.mean(right))


def test_evaluate_reproduces_the_score_of_the_run(good):
    trained = good("train", "iris", "--epochs", 5, "--validation", 0)
    scores = good("evaluate", "runs/iris", "iris")
    assert scores["loss"] == pytest.approx(trained["loss"], rel=1e-5)
    assert scores["accuracy"] == trained["accuracy"]
    other = good("evaluate", "runs/iris", "iris", "--backend", "torch")
    assert (other["backend"], other["accuracy"]) == ("torch", trained["accuracy"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("evaluate", "runs/peple", "people.csv"), "no such folder (did you mean 'people'?)"),
        (("evaluate", "people.csv", "people.csv"), "people.csv: is a file; expected the folder"),
        (("predict", "runs", "people.csv"), "runs: holds no model.json; expected the folder of a"),
        (("predict", "runs/people", "digits"), "digits: holds arrays; the run was trained on a"),
        (("evaluate", "runs/people", "people.csv", "--target", "age"), "the run knows its target"),
    ],
)
def test_the_wrong_run_or_file_is_named(trained, arguments, message):
    result = trained(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_another_number_of_features_is_refused(run):
    assert run("train", "iris", "--epochs", 1).exit_code == 0
    result = run("predict", "runs/iris", "wine")
    assert result.exit_code == 2
    assert "wine: 13 features a row, the run was trained on 4" in result.stderr


def test_a_run_saved_from_python_has_no_schema(run):
    trainer = cr.Trainer(cr.Dense(1), loss="squared_error", seed=0)
    trainer.fit([[0.0], [1.0]], [0.0, 1.0], epochs=1, batch_size=2)
    trainer.save("mine")
    result = run("predict", "mine", "linear")
    assert result.exit_code == 2
    assert "mine: holds no schema.json" in result.stderr
    assert run("inspect", "mine").exit_code == 0


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("people.csv", "is the file the rows come from; choose another name"),
        (".", "is a folder; expected the name of a file"),
        ("no/x.csv", "make it first"),
    ],
)
def test_predictions_never_replace_what_they_should_not(trained, people, out, message):
    before = people.read_bytes()
    result = trained("predict", "runs/people", "people.csv", "-o", out)
    assert result.exit_code == 2
    assert message in result.stderr
    assert people.read_bytes() == before


def test_a_link_is_followed_and_a_dash_is_standard_output(trained, tmp_path):
    (tmp_path / "link.csv").symlink_to("real.csv")
    assert trained("predict", "runs/people", "people.csv", "-o", "link.csv").exit_code == 0
    assert (tmp_path / "link.csv").is_symlink()
    shown = trained("predict", "runs/people", "people.csv", "-o", "-").stdout
    assert (tmp_path / "real.csv").read_text() == shown
