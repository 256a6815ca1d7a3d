"""The history: columns, order, and a file that survives a crash."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.errors import DataError, InputError
from chainrule.train.history import History, line

RECORDS = [
    {"epoch": 1, "step": 10, "loss": 0.5, "learning_rate": 1e-3},
    {"epoch": 2, "step": 20, "loss": 0.25, "val_loss": 0.375, "val_accuracy": 0.75},
]


def test_columns_are_aligned_with_the_epochs():
    history = History(RECORDS)
    assert history["loss"] == [0.5, 0.25]
    assert math.isnan(history["val_loss"][0])
    assert history["val_loss"][1] == 0.375
    assert history.names == ["epoch", "step", "loss", "learning_rate", "val_loss", "val_accuracy"]
    assert "val_loss" in history
    assert "vall" not in history
    assert len(history) == 2
    assert list(history) == history.records == RECORDS
    assert history.last == RECORDS[1]
    assert history.step == 20


def test_an_unknown_column_names_the_nearest():
    assert History()["loss"] == []
    with pytest.raises(InputError, match=r"no 'los' \(did you mean 'loss'\?\); it has epoch, step"):
        History(RECORDS)["los"]


def test_records_cannot_be_changed_from_outside():
    source = dict(RECORDS[0])
    history = History([source])
    source["loss"] = history.records[0]["loss"] = history.last["loss"] = 9.0
    assert history["loss"] == [0.5]


def test_numpy_scalars_become_python_numbers():
    history = History(
        [{"step": np.int64(3), "loss": np.float32(0.5), "ok": np.bool_(True), "x": np.asarray(2.0)}]
    )
    assert [type(value) for value in history.last.values()] == [int, float, bool, float]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"loss": 1.0}, r"record\['step'\] is None"),
        ({"step": -1}, r"record\['step'\] is -1"),
        ({"step": True}, r"record\['step'\] is True"),
        ({"step": 2.0}, r"record\['step'\] is 2.0"),
        ({"step": 20}, "is 20; expected more than 20"),
        ({"step": 30, "loss": [1.0]}, r"record\['loss'\] is a list"),
        ({"step": 30, "loss": np.zeros(2)}, r"record\['loss'\] is a ndarray"),
    ],
)
def test_what_append_refuses(record, message):
    history = History(RECORDS)
    with pytest.raises(InputError, match=message):
        history.append(record)
    assert len(history) == 2


def test_text_and_none_in_a_column():
    history = History([{"step": 1, "note": "warm", "val_loss": None}])
    assert math.isnan(history["val_loss"][0])
    with pytest.raises(InputError, match=r"'note'.*text"):
        history["note"]


def test_repr():
    assert repr(History()) == "History(no epochs)"
    assert repr(History(RECORDS[:1])) == "History(1 epoch, step 10: loss 0.5)"
    assert repr(History([{"step": 4}])) == "History(1 epoch, step 4)"


def test_until_forgets_what_came_after_the_checkpoint():
    assert History(RECORDS).until(19).records == RECORDS[:1]
    assert History(RECORDS).until(20).records == RECORDS
    assert len(History(RECORDS).until(0)) == 0


def test_non_finite_numbers_are_strict_json(tmp_path):
    path = tmp_path / "history.jsonl"
    History([{"step": 1, "loss": math.nan, "a": math.inf, "b": -math.inf}]).to_jsonl(path)

    def refuse(name):
        raise AssertionError(name)

    written = json.loads(path.read_text(), parse_constant=refuse)
    assert written == {"step": 1, "loss": "NaN", "a": "Infinity", "b": "-Infinity"}
    read = History.from_jsonl(path).last
    assert math.isnan(read["loss"])
    assert (read["a"], read["b"]) == (math.inf, -math.inf)


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats()
    | st.text().filter(lambda text: text not in ("NaN", "Infinity", "-Infinity"))
)


@given(
    st.dictionaries(
        st.integers(0, 10**12),
        st.dictionaries(st.text().filter(lambda key: key != "step"), VALUES, max_size=4),
        max_size=5,
    ),
    st.data(),
)
def test_a_file_cut_anywhere_keeps_its_whole_lines(tmp_path_factory, by_step, data):
    path = tmp_path_factory.mktemp("history") / "history.jsonl"
    history = History({"step": step, **rest} for step, rest in sorted(by_step.items()))
    history.to_jsonl(path)
    whole = path.read_bytes()
    assert [repr(r) for r in History.from_jsonl(path).records] == [repr(r) for r in history.records]
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    kept = History.from_jsonl(path)
    lines_kept = whole[:cut].count(b"\n") + (whole[cut : cut + 1] == b"\n")
    assert [repr(r) for r in kept.records] == [repr(r) for r in history.records[:lines_kept]]


def test_lines_are_ordered_by_step_and_the_later_of_two_stands(tmp_path):
    path = tmp_path / "history.jsonl"
    steps = [(10, 1.0), (20, 2.0), (30, 3.0), (20, 2.5), (30, 3.5)]
    path.write_text("".join(line({"step": step, "loss": loss}) for step, loss in steps) + "\n")
    history = History.from_jsonl(path)
    assert history["step"] == [10, 20, 30]
    assert history["loss"] == [1.0, 2.5, 3.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"step": 1,}', r":2:\d+: not JSON"),
        (b'{"step": 1, "loss": NaN}', ":2:1: NaN is not strict JSON"),
        (b"\xff\xfe", ":2:1: not UTF-8"),
        (b"[1]", ":2:1: expected a JSON object"),
        (b"[" * 100_000, ":2:1: nested too deep"),
        (b'{"loss": 1.0}', r":2:1: record\['step'\] is None"),
        (b'{"step": 1, "loss": {}}', r":2:1: record\['loss'\] is a dict"),
    ],
)
def test_a_fault_before_the_last_line_is_named(tmp_path, text, message):
    path = tmp_path / "history.jsonl"
    path.write_bytes(b'{"step": 0}\n' + text + b'\n{"step": 5}\n')
    with pytest.raises(DataError, match="history.jsonl" + message):
        History.from_jsonl(path)
    path.write_bytes(b'{"step": 0}\n' + text)
    assert History.from_jsonl(path).records == [{"step": 0}]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "history.jsonl"
    History(RECORDS[:1]).to_jsonl(path)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        History(RECORDS).to_jsonl(path)
    assert History.from_jsonl(path).records == RECORDS[:1]
