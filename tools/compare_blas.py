"""Time the matrix products of training steps in several BLAS libraries, and as plain loops.

    python tools/compare_blas.py NAME=PATH:SYMBOL:INTEGERS ...

for example ``mkl=/venv/lib/libmkl_rt.so.3:cblas_{}gemm:i32``. NumPy's own library is always among
them. Each product runs many times inside one native program, so that no call from Python is timed;
the libraries take turns. Set the threads by each library's own variable.
"""

import ctypes
import sys
import time
from statistics import median

import numpy as np

from chainrule.backends.native.blas import Blas, find_blas
from chainrule.backends.native.steps import Executable
from chainrule.trace.index import Affine
from chainrule.trace.loops import Array, Let, Load, Loop, Nest, Operand, Product, Program, Update

SHAPES = (
    (32, 64, 128, "NN"),
    (32, 128, 10, "NN"),
    (32, 10, 128, "NT"),
    (128, 32, 10, "TN"),
    (64, 32, 128, "TN"),
    (128, 128, 10, "NN"),
    (128, 784, 256, "NN"),
    (784, 128, 256, "TN"),
    (512, 2048, 2048, "NN"),
)
FLOAT = np.dtype(np.float32)


def arrays(m: int, k: int, n: int) -> dict[str, Array]:
    sizes = {"a": m * k, "b": k * n, "c": m * n}
    return {name: Array(name, size, FLOAT, "input") for name, size in sizes.items()}


def product(m: int, k: int, n: int, kind: str) -> Program:
    left = Operand("a", m if kind[0] == "T" else k, kind[0] == "T")
    right = Operand("b", k if kind[1] == "T" else n, kind[1] == "T")
    return Program([Product("c", left, right, m, k, n, FLOAT)], arrays(m, k, n), {})


def loops(m: int, k: int, n: int, kind: str) -> Program:
    """Add to a row of c, column by column, what each element of the row of a contributes."""
    a = (("i", 1), ("p", m)) if kind[0] == "T" else (("i", k), ("p", 1))
    b = (("j", k), ("p", 1)) if kind[1] == "T" else (("j", 1), ("p", n))
    inner = [
        Load("y", "b", Affine(b), FLOAT),
        Let("z", "mul", ("x", "y"), FLOAT, FLOAT),
        Update("c", Affine((("i", n), ("j", 1))), "sum", "z", FLOAT),
    ]
    body = [Load("x", "a", Affine(a), FLOAT), Loop("j", n, inner)]
    return Program([Nest("loops", [Loop("i", m, [Loop("p", k, body)])])], arrays(m, k, n), {})


def microseconds(executable: Executable, count: int) -> float:
    started = time.perf_counter()
    executable.run(count)
    return (time.perf_counter() - started) / count * 1e6


def main() -> None:
    libraries = {"NumPy's": find_blas()}
    for argument in sys.argv[1:]:
        name, _, rest = argument.partition("=")
        path, symbol, whole = rest.rsplit(":", 2)
        library = ctypes.CDLL(path)
        addresses = [
            ctypes.cast(getattr(library, symbol.format(x)), ctypes.c_void_p).value or 0
            for x in "sd"
        ]
        libraries[name] = Blas(*addresses, whole, name)
    print(f"{'m':>5}{'k':>6}{'n':>6}      " + "".join(f"{n:>12}" for n in [*libraries, "loops"]))
    rng = np.random.default_rng(0)
    for m, k, n, kind in SHAPES:
        made = {}
        given = {
            name: rng.standard_normal(a.size, np.float32) for name, a in arrays(m, k, n).items()
        }
        for name, blas in libraries.items():
            made[name] = Executable(product(m, k, n, kind), blas)
        if m * k * n < 1e8:
            made["loops"] = Executable(loops(m, k, n, kind), libraries["NumPy's"])
        for executable in made.values():
            executable.bind(given)
        count = max(2, int(2e9 / (m * k * n)))
        found: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(9):
            for name, executable in made.items():
                given["c"][:] = 0.0
                found[name].append(microseconds(executable, count))
        cells = "".join(f"{median(times):12.2f}" for times in found.values())
        print(f"{m:5}{k:6}{n:6}  {kind}  {cells}")


if __name__ == "__main__":
    main()
