"""LLVM: from a module's text to machine code for this processor, and to a function to call."""

import ctypes
from collections.abc import Callable
from functools import cache
from importlib import import_module
from itertools import count
from typing import Any

from chainrule.backends.native.blas import Blas
from chainrule.backends.native.emit import ENTRY, PRODUCTS

_llvm: Any = import_module("llvmlite.binding")

FORMAT = 1
"""To be raised when the same text is compiled differently."""

VERSION = str(import_module("llvmlite").__version__)


@cache
def target() -> Any:
    """Return LLVM's description of this processor."""
    _llvm.initialize_native_target()
    _llvm.initialize_native_asmprinter()
    return _llvm.Target.from_default_triple().create_target_machine(
        cpu=_llvm.get_host_cpu_name(),
        features=_llvm.get_host_cpu_features().flatten(),
        opt=3,
        reloc="pic",
        codemodel="default",
        jit=True,
    )


def signature() -> str:
    """Return what machine code depends on besides its text: LLVM and the processor."""
    parts = (_llvm.llvm_version_info, _llvm.get_default_triple(), _llvm.get_host_cpu_name())
    return f"{FORMAT} {VERSION} {parts} {_llvm.get_host_cpu_features().flatten()}"


def optimized(text: str) -> Any:
    """Return the module of a text after LLVM's optimisation, vectorised."""
    module = _llvm.parse_assembly(text)
    module.triple = _llvm.get_default_triple()
    options = _llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    options.slp_vectorization = True
    builder = _llvm.create_pass_builder(target(), options)
    builder.getModulePassManager().run(module, builder)
    return module


def machine_code(text: str) -> bytes:
    """Return the object file of a text."""
    return bytes(target().emit_object(optimized(text)))


def assembly(text: str) -> str:
    """Return the assembly of a text, as it is executed."""
    return str(target().emit_assembly(optimized(text)))


def linked(code: bytes, blas: Blas) -> tuple[Callable[..., None], Any]:
    """Load an object file; return its entry, and what must live as long as it is called."""
    jit = _jit()
    name = f"chainrule{next(_numbers)}"
    builder = _llvm.JITLibraryBuilder().add_object_img(code).export_symbol(ENTRY)
    for dtype, symbol in PRODUCTS.items():
        builder.import_symbol(symbol, blas.sgemm if dtype == "float32" else blas.dgemm)
    library = builder.add_current_process().link(jit, name)
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
    return prototype(library[ENTRY]), library


_numbers = count()


@cache
def _jit() -> Any:
    """Return LLVM's linker that lays all of a program's sections side by side.

    The other one asks the system for each section alone, and ends the process where code and
    constants come to lie more than 2 GiB apart.
    """
    return _llvm.create_lljit_compiler(target(), use_jit_link=True)
