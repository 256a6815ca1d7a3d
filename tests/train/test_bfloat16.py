"""bfloat16: passes in it, parameters in float32, no loss scaling; on PyTorch and JAX."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import chainrule as cr
from chainrule import tree
from chainrule.ops.batch_norm import batch_norm_forward
from chainrule.ops.layer_norm import layer_norm_backward, layer_norm_forward
from chainrule.ops.linear import linear_backward
from chainrule.train.files import read_arrays
from chainrule.train.state import host_state
from libraries import make_backend
from train.problems import assert_same, blobs, classifier, host_params, make_trainer

X, Y = blobs(96)
LIBRARIES = pytest.mark.parametrize("library", ["torch", "jax"])


def trainer_on(library, net=None, **settings):
    make_backend(library)
    return make_trainer(net, backend=library, **({"dtype": "bfloat16"} | settings))


@LIBRARIES
def test_it_trains_and_keeps_float32(library):
    net = cr.Sequential(cr.Dense(32), cr.BatchNorm(), cr.ReLU(), cr.Dropout(0.1), cr.Dense(3))
    trainer = trainer_on(library, net, optimizer=cr.adam(0.01))
    history = trainer.fit(X, Y, epochs=12, batch_size=32, validation=(X, Y))
    assert history["val_accuracy"][-1] > 0.9
    assert "skipped_steps" not in history
    assert "scale" not in trainer.state
    assert not trainer.half
    assert {leaf.dtype for leaf in host_state(trainer).values()} == {np.dtype("float32")}
    assert trainer.evaluate(X, Y)["accuracy"] == history["val_accuracy"][-1]


@LIBRARIES
def test_what_comes_out_is_float32_of_the_library_that_went_in(library):
    trainer = trainer_on(library)
    own = make_backend(library, "bfloat16").asarray(X, "float")
    trainer.fit(own, Y, epochs=1)
    assert str(own.dtype).endswith("bfloat16")
    for x, kind in ((X, np.ndarray), (own, type(own))):
        predicted = trainer.predict(x)
        assert isinstance(predicted, kind)
        assert str(predicted.dtype).endswith("float32")
    np.testing.assert_allclose(trainer.predict_proba(X).sum(axis=1), 1.0, rtol=1e-6)


@LIBRARIES
def test_the_network_computes_in_bfloat16(library):
    seen = set()

    class Spy(cr.Tanh):
        def forward(self, xp, params, x):
            seen.add(("forward", str(x.dtype)))
            return super().forward(xp, params, x)

        def backward(self, xp, residuals, dy, *, needs_dx=True):
            seen.add(("backward", str(dy.dtype)))
            return super().backward(xp, residuals, dy, needs_dx=needs_dx)

    trainer = trainer_on(library, cr.Sequential(cr.Dense(4), Spy(), cr.Dense(3)))
    trainer.fit(X, Y, epochs=1)
    trainer.predict(X)
    assert {(what, dtype.removeprefix("torch.")) for what, dtype in seen} == {
        ("forward", "bfloat16"),
        ("backward", "bfloat16"),
    }


def trained_by_torch(params, steps, rate, short):
    """Return the parameters after plain gradient descent by PyTorch's autograd."""
    torch = pytest.importorskip("torch")
    own = {name: torch.tensor(array, requires_grad=True) for name, array in params.items()}
    x, labels = torch.tensor(X.astype(np.float32)), torch.tensor(Y)
    for _ in range(steps):
        w1, b1, w2, b2 = (
            own[name].to(short) for name in ("0.weight", "0.bias", "2.weight", "2.bias")
        )
        logits = torch.relu(x.to(short) @ w1 + b1) @ w2 + b2
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        for leaf, grad in zip(
            own.values(), torch.autograd.grad(loss, list(own.values())), strict=True
        ):
            leaf.data -= rate * grad
    return {name: leaf.detach().numpy() for name, leaf in own.items()}


@LIBRARIES
def test_it_is_what_autograd_computes_in_bfloat16(library):
    """Eagerly, as autograd: XLA may leave out a rounding between two operations it fuses."""
    torch = pytest.importorskip("torch")
    net = cr.Sequential(cr.Dense(8), cr.ReLU(), cr.Dense(3))
    trainer = trainer_on(library, net, optimizer=cr.sgd(0.1), compile=False).build((4,))
    start = by_name(trainer)
    trainer.fit(X, Y, epochs=3, batch_size=None, shuffle=False)
    short, single = (
        trained_by_torch(start, 3, 0.1, dtype) for dtype in (torch.bfloat16, torch.float32)
    )
    for name, array in by_name(trainer).items():
        step = np.abs(array - start[name]).max()
        np.testing.assert_allclose(array, short[name], atol=step * 2.0**-8, err_msg=name)
        assert np.mean(array == short[name]) > 0.9, name
        assert np.mean(array == single[name]) < 0.1, name


def by_name(trainer):
    return {name.removeprefix("params."): array for name, array in host_params(trainer).items()}


@LIBRARIES
@given(
    x=hnp.arrays(np.float32, (6, 5), elements=st.floats(-1e4, 1e4, width=32)),
    dy=hnp.arrays(np.float32, (6, 5), elements=st.floats(-10, 10, width=32)),
)
def test_normalisation_is_float32s_of_the_same_numbers_rounded_once(library, x, dy):
    backend = make_backend(library, "bfloat16")
    with backend.scope():
        xp = backend.xp
        x, dy = backend.asarray(x, "float"), backend.asarray(dy, "float")
        wide, wide_dy = (xp.astype(a, xp.float32) for a in (x, dy))
        scale, shift = xp.ones(5, dtype=xp.float32) * 1.5, xp.ones(5, dtype=xp.float32)
        for forward in (layer_norm_forward, batch_norm_forward):
            y, _ = forward(xp, x, scale, shift)
            expected, _ = forward(xp, wide, scale, shift)
            assert y.dtype == xp.bfloat16
            same(backend, y, xp.astype(expected, xp.bfloat16))
        _, residuals = layer_norm_forward(xp, x, scale, shift)
        found = layer_norm_backward(xp, residuals, dy)
        expected = layer_norm_backward(xp, residuals, wide_dy)
        same(backend, found[0], xp.astype(expected[0], xp.bfloat16))
        for one, other in zip(found[1:], expected[1:], strict=True):
            assert one.dtype == xp.float32
            same(backend, one, other)


def same(backend, one, other):
    np.testing.assert_array_equal(backend.to_numpy(one), backend.to_numpy(other))


@LIBRARIES
def test_the_gradient_of_a_bias_counts_every_row(library):
    """A sum kept in bfloat16 would stop growing at 256."""
    backend = make_backend(library, "bfloat16")
    x, dy = (backend.asarray(np.ones((4096, 2)), "float") for _ in range(2))
    with backend.scope():
        _, _, dbias = linear_backward(backend.xp, (x, dy), dy, needs_dx=False)
    np.testing.assert_array_equal(backend.to_numpy(dbias), [4096.0, 4096.0])


@LIBRARIES
def test_what_float16_must_scale_is_in_range(library):
    """Gradients of 1e-10 are zero in float16 and move a bfloat16 run as they do a float32 one."""
    moved = {}
    for dtype in ("bfloat16", "float32"):
        trainer = trainer_on(
            library, cr.Dense(1), loss="squared_error", dtype=dtype, optimizer=cr.sgd(1e6)
        ).build((4,))
        before = host_params(trainer)
        trainer.fit(X * 1e-10, np.ones(96), epochs=1, batch_size=None)
        after = host_params(trainer)
        moved[dtype] = after["params.weight"] - before["params.weight"]
    assert np.abs(moved["float32"]).min() > 1e-6
    np.testing.assert_allclose(moved["bfloat16"], moved["float32"], rtol=0.02)


@LIBRARIES
def test_files_hold_float32_and_load_in_any_dtype(library, tmp_path):
    trainer = trainer_on(library)
    trainer.fit(X, Y, epochs=2)
    trainer.save(tmp_path)
    arrays, _ = read_arrays(tmp_path / "model.safetensors")
    assert {array.dtype for array in arrays.values()} == {np.dtype("float32")}
    loaded = cr.Trainer.load(tmp_path, backend=library)
    assert loaded.dtype == "bfloat16"
    np.testing.assert_array_equal(loaded.predict(X), trainer.predict(X))
    assert loaded.history.records == trainer.history.records
    assert loaded.fit(X, Y, epochs=1)["loss"] == trainer.fit(X, Y, epochs=1)["loss"]
    with pytest.raises(cr.BackendError, match=r"^dtype='bfloat16': NumPy on cpu has none"):
        cr.Trainer.load(tmp_path)
    wide = cr.Trainer.load(tmp_path, dtype="float32")
    short = cr.Trainer.load(tmp_path, backend=library)
    np.testing.assert_allclose(wide.predict(X), short.predict(X), rtol=0.05, atol=0.05)
    assert wide.fit(X, Y, epochs=1).last["dtype"] == "float32"
    assert [record["dtype"] for record in wide.history.records] == ["bfloat16"] * 2 + ["float32"]


@LIBRARIES
def test_it_resumes_bit_for_bit(library, tmp_path):
    def run(epochs, folder=None, **settings):
        trainer = trainer_on(library, classifier(3, cr.ReLU(), cr.Dropout(0.2)))
        trainer.fit(X, Y, epochs=epochs, batch_size=16, checkpoint=folder, **settings)
        return trainer

    whole = run(3)
    run(2, tmp_path)
    resumed = run(3, tmp_path, resume=True)
    assert resumed.history["loss"] == whole.history["loss"]
    assert_same(host_state(resumed), host_state(whole))
    other = trainer_on(library, classifier(3, cr.ReLU(), cr.Dropout(0.2)), dtype="float32")
    message = r"with dtype='bfloat16', now dtype='float32'; .*allow_changed=\['dtype'\]"
    with pytest.raises(cr.InputError, match=message):
        other.fit(X, Y, epochs=3, batch_size=16, checkpoint=tmp_path, resume=True)


@LIBRARIES
def test_accumulated_batches_are_one(library):
    one, other = (trainer_on(library) for _ in range(2))
    found = one.fit(X, Y, epochs=2, batch_size=8, accumulate=4)["loss"]
    expected = other.fit(X, Y, epochs=2, batch_size=32)["loss"]
    np.testing.assert_allclose(found, expected, rtol=5e-3)


def test_lbfgs_refuses_it():
    with pytest.raises(cr.InputError, match=r"^optimizer=lbfgs .* dtype='bfloat16'"):
        trainer_on("torch", optimizer="lbfgs")


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")
def test_it_compiles_on_torch():
    runs = [trainer_on("torch", compile=compiled) for compiled in (True, False)]
    losses = [trainer.fit(X, Y, epochs=2)["loss"] for trainer in runs]
    np.testing.assert_allclose(losses[0], losses[1], rtol=5e-3)
    assert tree.flatten(runs[0].state).keys() == tree.flatten(runs[1].state).keys()


@pytest.mark.parametrize(("saved", "wanted"), [("float16", "float32"), ("float32", "float16")])
def test_a_scaled_loss_is_entered_and_left_at_load(saved, wanted, tmp_path):
    x, y = blobs()
    trainer = make_trainer(dtype=saved)
    trainer.fit(x, y, epochs=2, progress="off", checkpoint=tmp_path / "run")
    trainer.save(tmp_path / "saved")
    loaded = cr.Trainer.load(tmp_path / "saved", dtype=wanted)
    assert ("scale" in loaded.state) is (wanted == "float16")
    assert np.isfinite(loaded.fit(x, y, epochs=1, progress="off").last["loss"])
    resumed = make_trainer(dtype=wanted)
    resumed.fit(
        x, y, epochs=3, progress="off", checkpoint=tmp_path / "run", resume=True,
        allow_changed="dtype",
    )  # fmt: skip
    assert resumed.history.last["dtype"] == wanted


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_run_that_numpy_cannot_repeat_says_how_to_load_it(library, tmp_path):
    x, y = blobs()
    trainer = make_trainer(backend=library, dtype="bfloat16")
    trainer.fit(x, y, epochs=1, progress="off")
    trainer.save(tmp_path)
    with pytest.raises(cr.BackendError, match=r"trained so; dtype='float32' .* loads it here"):
        cr.Trainer.load(tmp_path)
    assert cr.Trainer.load(tmp_path, dtype="float32").predict(x).dtype == np.float32
    with pytest.raises(cr.InputError, match="they have no program"):
        trainer.program()
