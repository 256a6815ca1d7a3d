"""deterministic=True and matmul_precision=: what is promised, refused and written down."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.train.checkpoint import listed
from chainrule.train.files import read_arrays
from chainrule.train.state import host_state
from libraries import make_backend
from train.problems import assert_same, blobs, classifier, make_trainer

X, Y = blobs(96)
NUMERICS = {"dtype": "float32", "matmul_precision": "float32", "deterministic": True}

DIGEST = """
import sys, zlib
import numpy as np
import chainrule as cr
from chainrule.train.state import host_state
rng = np.random.default_rng(0)
X, y = rng.normal(size=(700, 300)), rng.integers(0, 5, 700)
net = cr.Sequential(cr.BatchNorm(), cr.Dense(400), cr.GELU(), cr.Dropout(0.2), cr.Dense(5))
trainer = cr.Trainer(
    net, "softmax_cross_entropy", backend=sys.argv[1], deterministic=True, clip_norm=1.0
)
trainer.fit(X, y, epochs=3, batch_size=256, progress="off")
print(zlib.crc32(b"".join(array.tobytes() for _, array in sorted(host_state(trainer).items()))))
"""


def run_settings_of(folder):
    return json.loads(read_arrays(listed(folder)[-1])[1]["chainrule"])["settings"]


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "strict"])
def test_two_runs_agree_bit_for_bit(library):
    make_backend(library)
    runs = []
    for _ in range(2):
        net = classifier(3, cr.BatchNorm(), cr.ReLU(), cr.Dropout(0.2))
        trainer = make_trainer(net, backend=library, dtype="float32", deterministic=True)
        trainer.fit(X, Y, epochs=4, batch_size=16)
        runs.append(trainer)
    assert_same(host_state(runs[0]), host_state(runs[1]))
    assert runs[0].history["loss"] == runs[1].history["loss"]


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_two_processes_agree_bit_for_bit(library):
    make_backend(library)
    source = str(Path(cr.__file__).parent.parent)
    code = f"import sys; sys.path.insert(0, {source!r})\n{DIGEST}"
    command = [sys.executable, "-c", code, library]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    digests = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_tf32_is_taken_on_a_cpu_and_changes_little(library):
    make_backend(library)
    runs = [
        make_trainer(backend=library, dtype="float32", matmul_precision=precision)
        for precision in ("float32", "tf32")
    ]
    losses = [trainer.fit(X, Y, epochs=3)["loss"] for trainer in runs]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-2)
    assert runs[1].history.last["matmul_precision"] == "tf32"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"matmul_precision": "tf32"}, r"^matmul_precision='tf32': NumPy on cpu has none; leave"),
        ({"matmul_precision": "half"}, r"^matmul_precision='half' is unknown; expected one of fl"),
        (
            {"matmul_precision": "tf32", "dtype": "float64"},
            r"^matmul_precision='tf32' is for dtype='float32' alone, got dtype='float64'; leave",
        ),
        ({"deterministic": "yes"}, r"^deterministic='yes': expected True or False$"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(cr.InputError, match=message) as caught:
        make_trainer(**({"dtype": "float32"} | settings))
    assert "\n" not in str(caught.value)


def test_what_was_computed_in_is_written_down(tmp_path):
    trainer = make_trainer(dtype="float32", deterministic=True)
    trainer.fit(X, Y, epochs=2, checkpoint=tmp_path)
    trainer.save(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    about = json.loads((tmp_path / "model.json").read_text())
    for written in (*lines, about["trainer"], run_settings_of(tmp_path), trainer.numerics):
        assert NUMERICS.items() <= written.items()
    assert len(lines) == 2


def test_it_is_loaded_as_it_was_saved_unless_told_otherwise(tmp_path):
    make_backend("torch")
    trainer = make_trainer(
        backend="torch", dtype="float32", matmul_precision="tf32", deterministic=True
    )
    trainer.fit(X, Y, epochs=1)
    trainer.save(tmp_path)
    assert cr.Trainer.load(tmp_path, backend="torch").numerics == trainer.numerics
    with pytest.raises(cr.BackendError, match=r"^matmul_precision='tf32': NumPy on cpu has none"):
        cr.Trainer.load(tmp_path)
    for given in ({"dtype": "float32"}, {"matmul_precision": "float32"}):
        loaded = cr.Trainer.load(tmp_path, **given)
        assert loaded.numerics == NUMERICS
        np.testing.assert_allclose(loaded.predict(X), trainer.predict(X), rtol=1e-2, atol=1e-2)
    with pytest.raises(cr.InputError, match=r"^dtype='floot' is unknown \(did you mean 'float"):
        cr.Trainer.load(tmp_path, dtype="floot")
    assert not cr.Trainer.load(tmp_path, dtype="float64", deterministic=False).numerics[
        "deterministic"
    ]


def test_files_from_before_are_read(tmp_path):
    make_trainer().build((4,)).save(tmp_path)
    path = tmp_path / "model.json"
    about = json.loads(path.read_text())
    for name in ("matmul_precision", "deterministic"):
        del about["trainer"][name]
    path.write_text(json.dumps(about))
    assert cr.Trainer.load(tmp_path).numerics == {
        "dtype": "float64",
        "matmul_precision": "float32",
        "deterministic": False,
    }
    about["trainer"]["deterministic"] = "perhaps"
    path.write_text(json.dumps(about))
    with pytest.raises(cr.DataError, match=r"model.json: deterministic='perhaps': expected True"):
        cr.Trainer.load(tmp_path)


@pytest.mark.parametrize(("name", "value"), [("deterministic", True), ("matmul_precision", "tf32")])
def test_a_resumed_run_compares_them(tmp_path, name, value):
    make_backend("torch")
    first = make_trainer(backend="torch", dtype="float32")
    first.fit(X, Y, epochs=1, checkpoint=tmp_path)
    other = make_trainer(backend="torch", dtype="float32", **{name: value})
    with pytest.raises(cr.InputError, match=rf"with {name}=.*, now {name}=.*allow_changed="):
        other.fit(X, Y, epochs=2, checkpoint=tmp_path, resume=True)
    other.fit(X, Y, epochs=2, checkpoint=tmp_path, resume=True, allow_changed=[name])
    first_epoch, second_epoch = other.history.records
    assert first_epoch[name] != second_epoch[name]


def test_a_run_from_before_resumes(tmp_path, monkeypatch):
    before = make_trainer(dtype="float32")
    with monkeypatch.context() as patch:
        patch.setattr(cr.Trainer, "numerics", property(lambda self: {"dtype": self.dtype}))
        before.fit(X, Y, epochs=1, checkpoint=tmp_path)
    assert "deterministic" not in run_settings_of(tmp_path)
    trainer = make_trainer(dtype="float32")
    trainer.fit(X, Y, epochs=2, checkpoint=tmp_path, resume=True)
    whole = make_trainer(dtype="float32")
    whole.fit(X, Y, epochs=2)
    assert_same(host_state(trainer), host_state(whole))
