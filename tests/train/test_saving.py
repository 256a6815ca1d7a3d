"""Saved networks: the same on every library, whole or refused in words, and no pickle anywhere."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.train.files import read_arrays, write_arrays
from chainrule.train.history import History
from chainrule.train.saving import FORMAT
from chainrule.train.state import host_state
from libraries import make_backend
from train.problems import assert_same, blobs, classifier, host_params, make_trainer

X, Y = blobs(64)
NET = cr.Sequential(
    cr.Dense(8, weight_init="orthogonal"),
    cr.BatchNorm(momentum=0.2),
    cr.LeakyReLU(0.05),
    cr.Sequential(cr.Dropout(0.25), cr.LayerNorm(eps=1e-3)),
    cr.Dense(3),
)


@pytest.fixture
def saved(tmp_path):
    """A folder with a saved trainer, and that trainer."""
    trainer = make_trainer(
        NET,
        cr.softmax_cross_entropy(0.1, class_weight=(1, 2, 3)),
        optimizer=cr.adam(cr.on_plateau(0.05, patience=0), b1=0.8),
        dtype="float32",
        l1=1e-4,
        l2=1e-3,
        clip_norm=5.0,
    )
    trainer.fit(X, Y, epochs=4, batch_size=16)
    trainer.save(tmp_path / "run")
    return tmp_path / "run", trainer


def test_the_files(saved):
    folder, _ = saved
    names = ["history.jsonl", "model.json", "model.safetensors", "training.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == names
    arrays, _ = read_arrays(folder / "model.safetensors")
    assert sorted(arrays) == [
        "0.bias", "0.weight", "1.scale", "1.shift", "3.1.scale", "3.1.shift", "4.bias", "4.weight",
        "running.1.mean", "running.1.variance",
    ]  # fmt: skip
    about = json.loads((folder / "model.json").read_text())
    assert about["format"] == FORMAT
    assert about["trained_on"] == "numpy:cpu"
    assert about["model"]["layers"][1] == {"layer": "BatchNorm", "momentum": 0.2, "eps": 1e-05}
    assert len(History.from_jsonl(folder / "history.jsonl")) == 4


def test_a_round_trip_keeps_everything(saved):
    folder, trainer = saved
    loaded = cr.Trainer.load(folder)
    assert repr(loaded) == repr(trainer)
    assert loaded.model == trainer.model
    assert loaded.loss == trainer.loss
    assert loaded.optimizer == trainer.optimizer
    assert loaded.penalties == trainer.penalties
    assert loaded.position == trainer.position
    assert loaded.plateau == trainer.plateau
    assert loaded.history.records == trainer.history.records
    assert_same(host_state(loaded), host_state(trainer))
    one = trainer.fit(X, Y, epochs=3, batch_size=16)["loss"]
    assert loaded.fit(X, Y, epochs=3, batch_size=16)["loss"] == one
    assert_same(host_state(loaded), host_state(trainer))


def test_it_is_loaded_on_every_library(saved, library):
    folder, trainer = saved
    loaded = cr.Trainer.load(folder, backend=make_backend(library, "float32"))
    assert_same(host_params(loaded), host_params(trainer))
    np.testing.assert_allclose(loaded.predict(X), trainer.predict(X), rtol=1e-5, atol=1e-6)
    loaded.save(folder.parent / "again")
    back = cr.Trainer.load(folder.parent / "again")
    assert_same(host_state(back), host_state(trainer))


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_other_dtypes(tmp_path, dtype):
    trainer = make_trainer(dtype=dtype)
    trainer.fit(X, Y, epochs=2)
    trainer.save(tmp_path)
    loaded = cr.Trainer.load(tmp_path)
    assert loaded.dtype == dtype
    assert_same(host_state(loaded), host_state(trainer))
    assert loaded.fit(X, Y, epochs=1)["loss"] == trainer.fit(X, Y, epochs=1)["loss"]


@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs", "adadelta"])
def test_states_of_other_shapes(tmp_path, optimizer):
    trainer = make_trainer(optimizer=optimizer)
    trainer.fit(X, Y, epochs=3)
    trainer.save(tmp_path)
    assert_same(host_state(cr.Trainer.load(tmp_path)), host_state(trainer))


def test_the_network_alone_is_enough(saved):
    folder, trainer = saved
    (folder / "training.safetensors").unlink()
    loaded = cr.Trainer.load(folder)
    assert_same(host_params(loaded), host_params(trainer))
    assert loaded.history["loss"] == trainer.history["loss"]
    assert (loaded.position.epoch, loaded.position.step) == (4, 16)
    loaded.fit(X, Y, epochs=1, batch_size=16)
    assert loaded.history["epoch"] == [1, 2, 3, 4, 5]
    (folder / "history.jsonl").unlink()
    bare = cr.Trainer.load(folder)
    np.testing.assert_array_equal(bare.predict(X), trainer.predict(X))
    bare.fit(X, Y, epochs=1, batch_size=16)
    assert bare.history["epoch"] == [1]


@dataclass(frozen=True)
class Scaled:
    """A user's own layer, with a parameter and running state of one name."""

    start: float = 2.0

    def init(self, rng, in_shape):
        return {"mean": np.full(in_shape, self.start)}, in_shape

    def init_running(self, params):
        return {"mean": np.zeros_like(params["mean"])}

    def forward(self, xp, params, x):
        return x * params["mean"], (x, params["mean"])

    def backward(self, xp, residuals, dy, *, needs_dx=True):
        x, factor = residuals
        return {"mean": xp.sum(dy * x, axis=0)}, dy * factor if needs_dx else None

    def next_running(self, xp, running, residuals):
        return {"mean": running["mean"] + 1.0}


def test_a_users_own_layer(tmp_path):
    trainer = make_trainer(cr.Sequential(Scaled(1.5), cr.Dense(3)))
    trainer.fit(X, Y, epochs=2, batch_size=32)
    trainer.save(tmp_path)
    loaded = cr.Trainer.load(tmp_path, custom=[Scaled])
    assert_same(host_state(loaded), host_state(trainer))
    assert host_params(loaded)["running.0.mean"].tolist() == [4.0] * 4
    match = (
        r"model.json: model: layer 'Scaled' is unknown; pass your own classes, custom=\[Scaled\]$"
    )
    with pytest.raises(cr.DataError, match=match):
        cr.Trainer.load(tmp_path)


def test_what_cannot_be_saved(tmp_path):
    @dataclass(frozen=True)
    class OwnLoss(type(cr.squared_error())):
        pass

    class OwnRule(cr.sgd):
        pass

    class Bare(cr.Tanh):
        __dataclass_fields__ = property()

    trainers = {
        "loss .*OwnLoss.* is not one of chainrule's own": make_trainer(cr.Dense(4), OwnLoss()),
        "optimizer=OwnRule: a custom optimizer": make_trainer(cr.Dense(4), optimizer=OwnRule(0.1)),
    }
    for match, trainer in trainers.items():
        trainer.fit(X, X if trainer.loss.name == "squared_error" else Y, epochs=1)
        with pytest.raises(cr.InputError, match=match):
            trainer.save(tmp_path / "run")
        assert not (tmp_path / "run").exists()


def edit(path: Path, change):
    about = json.loads(path.read_text())
    change(about)
    path.write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            lambda a: a.update(format=2, chainrule="9.1"),
            "format 2 of chainrule 9.1, this is chainrule",
        ),
        (lambda a: a.pop("format"), "format None of chainrule"),
        (lambda a: a.pop("optimizer"), r"incomplete or of wrong types \('optimizer'\)"),
        (lambda a: a["trainer"].pop("seed"), r"incomplete or of wrong types \('seed'\)"),
        (lambda a: a.update(penalties=3), "incomplete or of wrong types"),
        (lambda a: a.update(penalties={"l3": 1}), "incomplete or of wrong types .*l3"),
        (lambda a: a.update(in_shape=["x"]), "in_shape='x': expected a positive integer"),
        (lambda a: a["loss"].update(name="hinge"), "loss='hinge' is unknown"),
        (lambda a: a["loss"].update(sharpness=1), "incomplete or of wrong types .*sharpness"),
        (lambda a: a["optimizer"].update(b1=1.0), r"b1=1\.0: expected a number in"),
        (lambda a: a["model"]["layers"][0].update(units=-1), r"units=-1.*: expected"),
        (lambda a: a["model"]["layers"][0].update(layer="Dens"), "layer 'Dens' is unknown"),
    ],
)
def test_a_description_that_is_not_one(saved, change, match):
    folder, _ = saved
    edit(folder / "model.json", change)
    with pytest.raises(cr.DataError, match=f"model.json: .*{match}") as caught:
        cr.Trainer.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("model.json", None, "model.json: no such file$"),
        ("model.json", b"{", "model.json: not JSON"),
        ("model.json", b"[1]", "model.json: expected a JSON object$"),
        ("model.json", b"[" * 100_000, "model.json: not JSON"),
        ("model.safetensors", None, "model.safetensors: no such file$"),
        ("model.safetensors", b"", "model.safetensors: not a whole safetensors file"),
        ("model.safetensors", b"\x80\x04K\x01.", "model.safetensors: not a whole safetensors file"),
        ("training.safetensors", b"PK\x03\x04", "training.safetensors: not a whole safetensors"),
    ],
)
def test_files_that_are_missing_or_broken(saved, name, content, match):
    folder, _ = saved
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(cr.DataError, match=match):
        cr.Trainer.load(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "training.safetensors"])
def test_truncated_arrays(saved, name):
    folder, _ = saved
    content = (folder / name).read_bytes()
    for cut in (1, 7, 8, 100, len(content) // 2, len(content) - 1):
        (folder / name).write_bytes(content[:cut])
        with pytest.raises(cr.DataError, match=f"{name}: not a whole safetensors file"):
            cr.Trainer.load(folder)


def test_another_networks_arrays_are_listed(saved):
    folder, _ = saved
    path = folder / "model.safetensors"
    arrays, _ = read_arrays(path)
    arrays["5.weight"] = arrays.pop("4.weight")
    arrays["0.bias"] = np.zeros(7, np.float32)
    write_arrays(path, arrays)
    match = (
        r"model\.safetensors: not this network's parameters: missing params\.4\.weight \(8, 3\); "
        r"unexpected params\.5\.weight \(8, 3\); params\.0\.bias is \(7,\), expected \(8,\)$"
    )
    with pytest.raises(cr.DataError, match=match):
        cr.Trainer.load(folder)
    write_arrays(path, {f"{name}.more": np.zeros(1) for name in "abcdefg"} | arrays)
    with pytest.raises(cr.DataError, match=r"; and 5 more$"):
        cr.Trainer.load(folder)
    write_arrays(path, {"0": np.zeros(1), "0.weight": np.zeros(1)})
    with pytest.raises(cr.DataError, match="not this network's parameters: missing "):
        cr.Trainer.load(folder)


@pytest.mark.parametrize(
    ("metadata", "match"),
    [
        (None, "its metadata is not chainrule's$"),
        ({"chainrule": "{"}, "its metadata is not chainrule's$"),
        ({"chainrule": "{}"}, "its record of progress is broken"),
        (
            {"chainrule": '{"position": {"steps": 3}, "plateau": null, "history": []}'},
            "its record of progress is broken .*steps",
        ),
        (
            {"chainrule": '{"position": {}, "plateau": null, "history": [{}]}'},
            "its record of progress is broken",
        ),
    ],
)
def test_a_record_of_progress_that_is_not_one(saved, metadata, match):
    folder, _ = saved
    path = folder / "training.safetensors"
    write_arrays(path, read_arrays(path)[0], metadata)
    with pytest.raises(cr.DataError, match=f"training.safetensors: {match}"):
        cr.Trainer.load(folder)


def test_saving_again_replaces_the_files(saved):
    folder, trainer = saved
    trainer.fit(X, Y, epochs=1, batch_size=16)
    trainer.save(str(folder))
    assert_same(host_state(cr.Trainer.load(str(folder))), host_state(trainer))
    assert not list(folder.glob("*.part"))


def test_there_is_no_pickle():
    source = Path(cr.__file__).parent
    words = ("pickle", "marshal", "shelve", "eval(", "exec(", "allow_pickle=True", "torch.load")
    found = [
        (path.name, number, word)
        for path in source.rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        for word in words
        if (word in line and "import" in line) or (word in line and word.endswith("("))
    ]
    assert found == []


def test_a_nested_network_of_the_classifier_is_itself(tmp_path):
    trainer = make_trainer(cr.Sequential(classifier(), cr.Sequential(cr.Tanh(), cr.Dense(3))))
    trainer.fit(X, Y, epochs=1)
    trainer.save(tmp_path)
    assert cr.Trainer.load(tmp_path).model == trainer.model
