"""The machine, and the versions of what runs on it."""

import os
import platform
import re
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "llvmlite",
    "array-api-compat",
    "array-api-strict",
    "torch",
    "jax",
    "jaxlib",
    "optax",
    "scikit-learn",
    "thinc",
    "cupy-cuda12x",
    "cupy-cuda13x",
    "nvmath-python",
    "nvidia-cublas",
    "nvidia-cublas-cu12",
    "triton",
    "jax-cuda12-plugin",
    "jax-cuda13-plugin",
    "matplotlib",
)
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def about() -> dict[str, Any]:
    """Return when and where: ``measured``, ``machine`` and ``versions``."""
    return {
        "measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "versions": versions(),
    }


def machine() -> dict[str, Any]:
    """Return cores, CPU, memory, system, Python, load, and the thread limits that are set."""
    return {
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "cpu": _cpu(),
        "architecture": platform.machine(),
        "memory_gib": _memory(),
        "os": _system(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": round(os.getloadavg()[0], 2),
        "limits": {name: os.environ[name] for name in THREADS if name in os.environ},
    }


def versions() -> dict[str, str]:
    """Return the version of every package of `PACKAGES` that is installed, and chainrule's."""
    found = {"chainrule": _chainrule()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def linear_algebra() -> list[str]:
    """Return the BLAS libraries that this process has loaded, each with its threads."""
    found = []
    if find_spec("threadpoolctl") is not None:
        from threadpoolctl import threadpool_info

        for pool in threadpool_info():
            name, threads = pool["prefix"].removeprefix("lib"), pool["num_threads"]
            found.append(f"{name} {pool['version'] or ''}".strip() + f" ({threads} threads)")
    if "torch" in sys.modules:
        text = sys.modules["torch"].__config__.show()
        found += re.findall(r"Math Kernel Library Version [\d.]+|MKL-DNN v[\d.]+", text)
    return sorted(set(found))


def _chainrule() -> str:
    import chainrule

    return chainrule.__version__


def _cpu() -> str:
    file = Path("/proc/cpuinfo")
    if file.exists():
        text = file.read_text()
        model = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
        family = re.search(r"^cpu family\s*:\s*(\d+)$", text, re.MULTILINE)
        number = re.search(r"^model\s*:\s*(\d+)$", text, re.MULTILINE)
        if model and family and number:
            return f"{model[1]} (family {family[1]}, model {number[1]})"
    return platform.processor() or "unknown"


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = ""
    return f"{platform.system()} {platform.release()}" + (f" ({name})" if name else "")


def _memory() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
