"""NVIDIA's compiler for kernels, which needs no device: a package of PyPI called through ctypes."""

import ctypes
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from chainrule.backends.cuda.source import OPTIONS

ARCHITECTURES = ("sm_80", "sm_90")


@cache
def library() -> Any:
    """Return NVRTC; skip the test where the package is missing."""
    pytest.importorskip("nvidia.cuda_nvrtc")
    spec = find_spec("nvidia.cuda_nvrtc")
    assert spec is not None
    (folder,) = spec.submodule_search_locations or ()
    (path,) = Path(folder, "lib").glob("libnvrtc.so.*")
    return ctypes.CDLL(str(path))


@cache
def compiled(text: str, architecture: str) -> str:
    """Return what the compiler says of a source it takes: registers and spills of each kernel."""
    nvrtc, program = library(), ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"step.cu", 0, None, None)
    options = [f"--gpu-architecture={architecture}", "--ptxas-options=-v", *OPTIONS]
    given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = nvrtc.nvrtcCompileProgram(program, len(options), given)
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    said = log.value.decode()
    assert not failed, f"{architecture}: {said}\n{text}"
    return said
