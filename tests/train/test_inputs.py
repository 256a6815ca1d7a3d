"""What may be trained on: every fault is one line that names the argument and the way out."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.train.inputs import prepare_x, prepare_y
from libraries import make_backend
from train.problems import blobs, classifier, host_params, make_trainer, plane

X, Y = blobs(40)
PX, PY = plane(40)


def fails(match, x, y, error=cr.InputError, trainer=None, **settings):
    trainer = trainer or make_trainer()
    with pytest.raises(error, match=match) as caught:
        trainer.fit(x, y, epochs=1, **settings)
    assert "\n" not in str(caught.value)
    return trainer


def changed(array, place, value):
    array = np.array(array, dtype=np.result_type(array, type(value)))
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        # NaN and infinity
        (
            changed(X, (3, 2), np.nan),
            Y,
            r"^X holds 1 NaN or infinite value, the first at X\[3, 2\]",
        ),
        (changed(X, (3, slice(2)), np.inf), Y, r"^X holds 2 NaN or infinite values, .* X\[3, 0\]"),
        (
            X,
            changed(Y, 5, np.nan),
            r"^y holds 1 NaN or infinite value, the first at y\[5\]; impute",
        ),
        (changed(X, (1, 1), 1e300).astype(np.float64), Y, None),
        # labels
        (X, changed(Y, 7, -1), r"^y holds the label -1 at row 7; .* integers 0 to 2$"),
        (X, changed(Y, 7, 3), r"^y holds the label 3 at row 7; the network has 3 outputs"),
        (X, changed(Y, 7, 1.5), r"^y holds the label 1\.5 at row 7"),
        (X, np.array(["a", "b"] * 20), r"^y holds text; expected numbers; encode labels"),
        (
            X,
            np.stack([Y, Y], axis=1),
            r"^y has shape \(40, 2\), the network has 3 outputs; expected",
        ),
        (X, np.full((40, 3), 0.5), r"^y's row 0 sums to 1\.5, its least is 0\.5; expected probab"),
        (X, np.tile([1.5, -0.5, 0.0], (40, 1)), r"^y's row 0 sums to 1, its least is -0\.5"),
        # lengths
        (X, Y[:-1], r"^y has shape \(39,\), X has 40 rows; expected one target a row$"),
        (X, np.ones((3, 40)), r"^y has shape \(3, 40\), X has 40 rows"),
        # empty, 0-d and 1-d
        (X[:0], Y[:0], r"^X has 0 rows$"),
        (np.ones((40, 0)), Y, r"^X has shape \(40, 0\): no features to learn from$"),
        (3.0, Y, r"^X is a single number; expected an array with one row a sample$"),
        (X, 1, r"^y is a single number"),
        (
            X[:, 0],
            Y,
            r"^X has shape \(40,\), expected \(rows, features\); reshape it: X\[:, None\]",
        ),
        ([], Y, r"^X has shape \(0,\), expected \(rows, features\)"),
        # kinds
        (X + 1j, Y, "^X holds complex numbers; expected booleans, integers or floats$"),
        (X.astype(object), Y, "^X holds objects; expected"),
        (X.astype(str), Y, "^X holds text; expected numbers$"),
        (X.astype("M8[s]"), Y, "^X holds dates; expected"),
        ([[1.0, 2.0], [3.0]], [0, 1], "^X is ragged: its rows differ in length$"),
        (None, Y, "^X holds objects"),
        (X, Y + 0j, "^y holds complex numbers"),
        (np.ma.masked_array(X), Y, r"^X is a masked array; fill it first: X\.filled\(value\)$"),
        (X, np.ma.masked_array(Y), r"^y is a masked array; fill it first: y\.filled\(value\)$"),
    ],
)
def test_faults_of_the_data(x, y, match):
    if match is None:  # float64 holds it; float32 does not
        match = r"^X\[1, 1\] is 1e\+300, too large for float32; scale the data or choose dtype="
        fails(match, x, y, trainer=make_trainer(dtype="float32"))
        return
    trainer = fails(match, x, y)
    assert trainer.params == {}
    trainer.fit(X, Y, epochs=1)


@pytest.mark.parametrize(
    ("net", "loss", "y", "match"),
    [
        (cr.Dense(1), "squared_error", PY, r"^y has shape \(40, 2\), .* \(40, 1\); .* 2 outputs$"),
        (
            cr.Dense(2),
            "squared_error",
            PY[:, 0],
            r"^y has shape \(40,\), .* \(40, 2\); .* 1 outputs",
        ),
        (cr.Dense(40), "squared_error", PY[:, 0], r"^y has shape \(40,\), .* \(40, 40\)"),
        (cr.Dense(1), "sigmoid_cross_entropy", PY[:, 0] * 0 + 2, "^y holds 2 at row 0; sigmoid_"),
        (cr.Dense(1), "sigmoid_cross_entropy", PY[:, 0] * 0 - 1, "^y holds -1 at row 0; sigmoid_"),
        (
            cr.Dense(1),
            "softmax_cross_entropy",
            PY[:, 0] * 0,
            r"^softmax_cross_entropy needs one out",
        ),
    ],
)
def test_targets_that_do_not_fit_the_network(net, loss, y, match):
    fails(match, PX, y, trainer=make_trainer(net, loss))


def test_as_many_class_weights_as_classes():
    loss = cr.softmax_cross_entropy(class_weight=(1.0, 2.0))
    fails(
        "^class_weight has 2 numbers, the network has 3 outputs",
        X,
        Y,
        trainer=make_trainer(None, loss),
    )


def test_a_column_and_a_vector_stand_for_each_other():
    runs = []
    for y in (PY[:, 0], PY[:, :1]):
        trainer = make_trainer(cr.Dense(1), "squared_error")
        trainer.fit(PX, y, epochs=2)
        assert trainer.predict(PX).shape == (40, 1)
        runs.append(host_params(trainer))
    assert all((runs[0][name] == runs[1][name]).all() for name in runs[0])
    trainer = make_trainer()
    assert (
        trainer.fit(X, Y[:, None], epochs=1)["loss"] == make_trainer().fit(X, Y, epochs=1)["loss"]
    )


def test_a_network_keeps_the_shape_it_was_built_for():
    trainer = make_trainer()
    trainer.fit(X, Y, epochs=1)
    match = r"^X has shape \(40, 3\), the network was built for \(rows, 4\)$"
    fails(match, X[:, :3], Y, trainer=trainer)
    with pytest.raises(cr.InputError, match=match):
        trainer.predict(X[:, :3])
    with pytest.raises(cr.InputError, match=r"^X has shape \(4,\), .*X\[None, :\] for one row$"):
        trainer.predict(X[0])


def test_layers_that_do_not_fit_are_named_with_both_shapes():
    fails(
        r"^layer 1, Dense\(3\): the input's shape is \(2, 2\), expected \(features,\); put Flatten",
        X.reshape(40, 2, 2),
        Y,
        trainer=make_trainer(cr.Sequential(cr.Tanh(), cr.Dense(3))),
    )


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        (np.ones(39), r"^sample_weight has shape \(39,\), expected one number a row: \(40,\)$"),
        (np.ones((40, 1)), r"^sample_weight has shape \(40, 1\), expected"),
        (np.zeros(40), "^sample_weight: expected numbers of at least 0, not all of them 0$"),
        (-np.ones(40), "^sample_weight: expected numbers of at least 0"),
        (changed(np.ones(40), 4, np.nan), r"^sample_weight holds 1 NaN .* sample_weight\[4\]"),
        (2.0, "^sample_weight is a single number"),
    ],
)
def test_sample_weights_that_cannot_be_used(weight, match):
    fails(match, X, Y, sample_weight=weight)


@pytest.mark.parametrize(
    ("validation", "match"),
    [
        (
            (X[:, :3], Y),
            r"^validation X has shape \(40, 3\), the network was built for \(rows, 4\)$",
        ),
        ((X, Y[:5]), r"^validation y has shape \(5,\), X has 40 rows"),
        ((X[:0], Y[:0]), "^validation X has 0 rows$"),
        ((X,), r"^validation: expected \(X, y\), or the fraction to hold out$"),
        ("0.1", "^validation: expected"),
        (1.0, r"^validation=1\.0: expected a number in \(0, 1\)$"),
        (0, r"^validation=0: expected"),
    ],
)
def test_validation_that_cannot_be_used(validation, match):
    assert fails(match, X, Y, validation=validation).params == {}


def test_a_class_of_one_row_is_not_split():
    fails("^class 2 has one row; a stratified", X, [0, 1] * 19 + [0, 2], validation=0.2)


@pytest.mark.parametrize(
    "x",
    [
        np.asfortranarray(X),
        X[::-1][::-1],
        np.repeat(X, 2, axis=0)[::2],
        np.repeat(X, 2, axis=1)[:, ::2],
        X.astype(">f8"),
        X.astype(np.longdouble),
        X.tolist(),
        X[:, ::-1].copy()[:, ::-1],
    ],
    ids=["Fortran", "twice reversed", "rows", "columns", "big-endian", "long", "list", "reversed"],
)
def test_layouts_give_the_same_result(backend32, x):
    found, expected = (prepare_x(backend32, data, None) for data in (x, X))
    np.testing.assert_array_equal(
        backend32.to_numpy(found), backend32.to_numpy(expected), strict=True
    )
    if backend32.name == "numpy":
        runs = [make_trainer(dtype="float32").fit(data, Y, epochs=2) for data in (X, x)]
        assert runs[0]["loss"] == runs[1]["loss"]


def test_own_arrays_are_checked_too(backend32):
    x = backend32.asarray(changed(X, (3, 2), np.nan), "float")
    with pytest.raises(cr.InputError, match=r"^X holds 1 NaN or infinite value, .* X\[3, 2\]"):
        prepare_x(backend32, x, None)
    y = backend32.asarray(changed(Y, 7, 3), "index")
    with pytest.raises(cr.InputError, match=r"^y holds the label 3 at row 7"):
        prepare_y(backend32, y, cr.softmax_cross_entropy(), 40, (3,))
    columns = backend32.asarray(Y[:, None], "index")
    found = prepare_y(backend32, columns, cr.softmax_cross_entropy(), 40, (3,))
    np.testing.assert_array_equal(backend32.to_numpy(found), Y)


def test_misaligned_read_only_and_mapped_arrays(tmp_path):
    expected = make_trainer().fit(X, Y, epochs=1)["loss"]
    raw = np.zeros(X.nbytes + 1, dtype=np.uint8)
    misaligned = raw[1:].view(np.float64).reshape(X.shape)
    misaligned[...] = X
    assert not misaligned.flags.aligned
    read_only, labels = X.copy(), Y.copy()
    read_only.flags.writeable = labels.flags.writeable = False
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for x in (misaligned, read_only, mapped):
        assert make_trainer().fit(x, labels, epochs=1)["loss"] == expected


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "int64"])
def test_numbers_of_every_kind_become_floats(dtype):
    x = (X > 0).astype(dtype)
    expected = make_trainer().fit(x.astype(float), Y, epochs=1)["loss"]
    assert make_trainer().fit(x, Y, epochs=1)["loss"] == expected


@pytest.mark.parametrize("kind", [bool, np.int8, np.uint64, np.float32, ">i4", list])
def test_labels_of_every_kind(kind):
    y = Y % 2
    expected = make_trainer(classifier(2)).fit(X, y, epochs=1)["loss"]
    given = y.tolist() if kind is list else y.astype(kind)
    assert make_trainer(classifier(2)).fit(X, given, epochs=1)["loss"] == expected


def test_inputs_are_never_modified(library):
    backend = make_backend(library, "float32")
    x, y, weight = X.astype(np.float32), Y.copy(), np.ones(40, np.float32)
    before = [a.copy() for a in (x, y, weight)]
    net = classifier(3, cr.BatchNorm(), cr.ReLU(), cr.Dropout(0.2))
    trainer = make_trainer(net, backend=backend)
    trainer.fit(x, y, epochs=2, sample_weight=weight, validation=(x, y), batch_size=20)
    trainer.evaluate(x, y, sample_weight=weight)
    trainer.predict_proba(x)
    for array, copy in zip((x, y, weight), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_arrays_of_another_library_are_named():
    torch = pytest.importorskip("torch")
    x, y = torch.tensor(X), torch.tensor(Y)
    match = "is an array of torch, the trainer's backend is 'numpy'; pass NumPy arrays, or Trainer"
    fails(f"^X {match}", x, Y)
    fails(f"^y {match}", X, y)
    fails(f"^sample_weight {match}", X, Y, sample_weight=x[:, 0])
    strict = make_backend("strict").xp.asarray(X)
    fails("^X is an array of array_api_strict, .*backend='strict'", strict, Y)
    own = make_trainer(backend=make_backend("torch"))
    fails(
        "^y is an array of array_api_strict, the trainer's backend is 'torch'",
        x,
        strict,
        trainer=own,
    )


def test_arrays_of_another_device_are_named():
    backend = make_backend("strict")
    x = make_backend("strict:device1").asarray(X, "float")
    trainer = make_trainer(backend=backend)
    fails("^X is on .*device1.*, the trainer on cpu; move it there first$", x, Y, trainer=trainer)


def test_sparse_and_pandas():
    sparse = pytest.importorskip("scipy.sparse")
    fails(r"^X is a sparse csr_array; pass X\.toarray\(\)$", sparse.csr_array(X), Y)
    pandas = pytest.importorskip("pandas")
    frame, series = pandas.DataFrame(X), pandas.Series(Y)
    expected = make_trainer().fit(X, Y, epochs=1)["loss"]
    assert make_trainer().fit(frame, series, epochs=1, validation=None)["loss"] == expected
    make_trainer().fit(frame, series, epochs=1, validation=0.25, batch_size=10)
    missing = frame.astype(object).mask(frame > 1.0, pandas.NA)
    fails(r"^X is a pandas DataFrame with text or missing values \(.*\); fill them", missing, Y)
    fails(r"^X is a pandas DataFrame with text", frame.astype(str) + "a", Y)
    fails(r"^X holds \d+ NaN", frame.mask(frame > 1.0), Y)
    fails(r"^X holds \d+ NaN", frame.astype("Float64").mask(frame > 1.0), Y)
    fails(r"^y is a pandas Series with text", X, series.map({0: "a", 1: "b", 2: "c"}))


def test_data_is_cast_once_and_not_copied_where_it_fits():
    x = X.astype(np.float32)
    trainer = make_trainer(dtype="float32")
    assert np.shares_memory(prepare_x(trainer.backend, x, None), x)
    assert not np.shares_memory(prepare_x(trainer.backend, X, None), X)


def test_class_weights_are_one_a_class():
    net = cr.Sequential(cr.Dense(3))
    trainer = cr.Trainer(net, loss=cr.softmax_cross_entropy(class_weight=(1.0, 2.0)))
    message = "^class_weight has 2 numbers, the network has 3 outputs; expected one number a class$"
    with pytest.raises(cr.InputError, match=message):
        trainer.fit(np.ones((4, 2)), [0, 1, 2, 0])
