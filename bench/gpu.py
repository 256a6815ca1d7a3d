"""The CUDA device, as its driver and the libraries describe it: `python -m bench.gpu` prints JSON.

A process of its own, because asking imports every library and takes memory on the device.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from bench.processes import outcome

FIELDS = ("name", "driver_version", "memory.total", "clocks.max.sm", "power.limit")
"""What is asked of nvidia-smi; MiB, MHz and W."""


class NoCudaError(Exception):
    """No library finds a CUDA device."""


def about() -> dict[str, Any]:
    """Return ``driver`` (of nvidia-smi), ``libraries`` and ``reasons``, as `found` does.

    Raises `NoCudaError` if no library can use a device.
    """
    here = outcome([sys.executable, "-m", "bench.gpu"])
    if isinstance(here, str):
        raise NoCudaError(f"no CUDA device here: {here}")
    if not here["libraries"]:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in here["reasons"].items())
        raise NoCudaError(f"no CUDA device here: {reasons}")
    return here


def found() -> dict[str, Any]:
    """Return what the driver says, what each library sees, and why the others see nothing."""
    libraries: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, ask in ASKED.items():
        try:
            libraries[name] = ask()
        except Exception as error:
            lines = str(error).strip().splitlines()
            reasons[name] = lines[0] if lines else type(error).__name__
    return {"driver": driver(), "libraries": libraries, "reasons": reasons}


def driver() -> dict[str, str]:
    """Return what nvidia-smi says of the first device; nothing where there is no such command."""
    query = ["nvidia-smi", "-i", "0", f"--query-gpu={','.join(FIELDS)}"]
    try:
        done = subprocess.run(
            [*query, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    values = [value.strip() for value in done.stdout.splitlines()[0].split(",")]
    return dict(zip(FIELDS, values, strict=False))


def _cupy() -> dict[str, str]:
    import cupy

    runtime = cupy.cuda.runtime
    device = runtime.getDeviceProperties(0)
    return {
        "device": device["name"].decode(),
        "capability": f"{device['major']}.{device['minor']}",
        "memory_mib": str(device["totalGlobalMem"] >> 20),
        "cuda": _version(runtime.runtimeGetVersion()),
        "driver": _version(runtime.driverGetVersion()),
    }


def _torch() -> dict[str, str]:
    import torch

    if not torch.cuda.is_available():
        raise NoCudaError("PyTorch finds no CUDA device")
    return {"device": torch.cuda.get_device_name(0), "cuda": str(torch.version.cuda)}


def _jax() -> dict[str, str]:
    import jax

    devices = [device for device in jax.devices() if device.platform == "gpu"]
    if not devices:
        raise NoCudaError("JAX finds no CUDA device")
    return {"device": devices[0].device_kind}


ASKED: dict[str, Callable[[], dict[str, str]]] = {"cupy": _cupy, "torch": _torch, "jax": _jax}


def _version(number: int) -> str:
    """Return CUDA's own number as people write it.

    >>> _version(13000), _version(12090)
    ('13.0', '12.9')
    """
    return f"{number // 1000}.{number % 1000 // 10}"


def named(here: dict[str, Any]) -> str:
    """Return the device, its driver and each library's CUDA in a line."""
    libraries = here["libraries"]
    first = next(iter(libraries.values()))
    memory = here["driver"].get("memory.total") or first.get("memory_mib")
    parts = [first["device"]]
    if memory:
        parts.append(f"{float(memory) / 1024:.0f} GiB")
    if version := here["driver"].get("driver_version"):
        parts.append(f"driver {version}")
    parts += [f"CUDA {own['cuda']} in {name}" for name, own in libraries.items() if "cuda" in own]
    return ", ".join(parts)


if __name__ == "__main__":
    print(json.dumps(found()))
