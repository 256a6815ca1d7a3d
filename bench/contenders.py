"""Who is measured: a module of `bench.rivals`, the packages it needs, and its options."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, NamedTuple


class Training(NamedTuple):
    """A network ready to be trained.

    run: trains so many epochs, waits until all is computed, and returns the last one's mean loss
    (nan where there is none). threads: what the library says it uses, None if it does not say.
    """

    run: Callable[[int], float]
    threads: int | None = None


@dataclass(frozen=True)
class Contender:
    """A module with ``build``, and what it needs."""

    module: str
    packages: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""

    def missing(self) -> list[str]:
        """Return the packages it needs that are not installed."""
        return [package for package in self.packages if find_spec(package) is None]


def ours(title: str, **options: Any) -> Contender:
    """Return chainrule with options of its trainer."""
    backends = {"cupy": "cupy", "jax": "jax", "torch": "torch", "strict": "array_api_strict"}
    library = backends.get(options.get("backend", "numpy").partition(":")[0], "numpy")
    return Contender("chainrule_fit", ("chainrule", library), options, title)


CONTENDERS: dict[str, Contender] = {
    "chainrule": ours("NumPy, compiled", compile=True),
    "chainrule eager": ours("NumPy, eager", compile=False),
    "PyTorch": Contender("torch_eager", ("torch",), title="eager, fused Adam"),
    "torch.compile": Contender("torch_compile", ("torch",), title="Inductor, fused Adam"),
    "JAX step": Contender("jax_step", ("jax", "optax"), title="one jit a step, optax"),
    "JAX scan": Contender("jax_scan", ("jax", "optax"), title="one jit an epoch, optax"),
    "scikit-learn": Contender("sklearn_mlp", ("sklearn",), title="MLPClassifier"),
    "Thinc": Contender("thinc_chain", ("thinc",), title="NumpyOps"),
    "GEMMs": Contender("gemms", ("numpy",), title="the products alone, NumPy"),
}
"""The contenders of the suite `peers`; the others name their own."""


def on_cuda(library: str = "cupy", device: str = "cuda") -> dict[str, Contender]:
    """Return who trains on a CUDA device; with NumPy and ``cpu`` the same code can be tried."""
    torch = ("torch",), {"device": device}
    jax = ("jax", "optax"), {"device": device}
    own = {"library": library}
    return {
        "chainrule": ours("CuPy, compiled", backend=library, compile=True),
        "chainrule eager": ours("CuPy, eager", backend=library, compile=False),
        "PyTorch": Contender("torch_eager", *torch, "eager, fused Adam"),
        "torch.compile": Contender("torch_reduce_overhead", *torch, "reduce-overhead, fused Adam"),
        "PyTorch graph": Contender("torch_graph", *torch, "a step captured by hand"),
        "JAX step": Contender("jax_step", *jax, "one jit a step, optax"),
        "JAX scan": Contender("jax_scan", *jax, "one jit an epoch, optax"),
        "GEMMs": Contender("torch_gemms", *torch, "the products alone, cuBLAS in a CUDA graph"),
        "CuPy GEMMs": Contender("gemms", (library,), own, "the products alone, cupy.matmul"),
        "empty graph": Contender("empty_graph", ("cupy",), title="a launch of one empty kernel"),
    }


CONTENDERS_ON_CUDA = on_cuda()

OURS = "chainrule"
FLOOR = "GEMMs"
