"""The kinds of errors, and the way out their messages offer."""

import pytest

from chainrule.errors import BackendError, DataError, InputError, choice, nearest

OPTIONS = ("adam", "adamw", "sgd", "rmsprop")


def test_every_users_mistake_is_a_value_error():
    assert issubclass(InputError, ValueError)
    assert issubclass(DataError, InputError)
    assert issubclass(BackendError, InputError)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("adan", " (did you mean 'adam'?)"),
        ("Adam", " (did you mean 'adam'?)"),
        ("RMSprop", " (did you mean 'rmsprop'?)"),
        ("xyz", ""),
        ("", ""),
    ],
)
def test_nearest(name, expected):
    assert nearest(name, OPTIONS) == expected


def test_nearest_takes_any_iterable():
    assert nearest("sdg", iter(OPTIONS)) == " (did you mean 'sgd'?)"
    assert nearest("sdg", {}) == ""


def test_choice():
    assert choice("optimizer", "sgd", iter(OPTIONS)) == "sgd"
    with pytest.raises(
        InputError,
        match=r"^optimizer='sdg' is unknown \(did you mean 'sgd'\?\); "
        r"expected one of adam, adamw, sgd, rmsprop$",
    ):
        choice("optimizer", "sdg", OPTIONS)
    with pytest.raises(InputError, match=r"^loss='zzz' is unknown; expected one of adam, "):
        choice("loss", "zzz", OPTIONS)
