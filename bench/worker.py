"""One measurement, alone in its process: `python -m bench.worker JSON` prints one line of JSON.

The JSON holds the contender's ``module`` and ``options``, the ``network`` and the ``seconds`` to
measure for. Whole epochs are timed, after one that is not counted (it compiles), and after the
seconds of ``warm_up`` that follow it, in which a device comes to its full clock.
"""

import json
import sys
import time
from importlib import import_module
from math import ceil, isfinite
from typing import Any

from bench import memory
from bench.contenders import Training
from bench.disturbance import Disturbance
from bench.machine import linear_algebra
from bench.networks import Network, data


def timed(training: Training, seconds: float) -> dict[str, Any]:
    """Train epochs in one go for at least `seconds`.

    Returns seconds and epochs, the last mean loss, and the cores that others kept busy meanwhile.
    """
    epochs = 1
    while True:
        disturbance, started = Disturbance(), time.perf_counter()
        loss = training.run(epochs)
        elapsed = time.perf_counter() - started
        if elapsed >= seconds:
            return {
                "seconds": elapsed,
                "epochs": epochs,
                "loss": loss if isfinite(loss) else None,
                "disturbance": disturbance.cores(),
            }
        epochs = max(epochs + 1, ceil(1.1 * seconds / elapsed * epochs))


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Return what one contender needs for a network.

    microseconds a step; the seconds before the first counted epoch (imports, building, compiling);
    peak bytes, and those in use before the data were made.
    """
    started = time.perf_counter()
    network = Network.from_json(json.dumps(job["network"]))
    build = import_module(f"bench.rivals.{job['module']}").build
    if job.get("imports_apart"):
        tiny = network.tiny()
        build(tiny, *data(tiny), **job["options"]).run(1)
    before = memory.resident()
    memory.forget_peak()
    X, y = data(network)
    training = build(network, X, y, **job["options"])
    training.run(1)
    ready = time.perf_counter()
    while time.perf_counter() - ready < job.get("warm_up", 0.0):
        training.run(1)
    found = timed(training, job["seconds"])
    return found | {
        "microseconds": found["seconds"] / (found["epochs"] * network.steps) * 1e6,
        "start_seconds": ready - started,
        "before_bytes": before,
        "peak_bytes": memory.peak(),
        "threads": training.threads,
        "process_threads": memory.threads(),
        "blas": linear_algebra(),
    }


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
