"""Time a large network's training steps in turn with the matrix products they consist of.

    python tools/compare_floor.py [ROUNDS]

Both run in one process on the same memory, 8 steps each in turn, so that a machine whose speed
changes with its neighbours slows both. Prints milliseconds a step and their ratio, then medians.
"""

import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np

import chainrule as cr

STEPS, BATCH, INPUTS, HIDDEN, OUTPUTS = 8, 512, 1024, 2048, 10


def milliseconds(steps: Callable[[], object]) -> float:
    start = time.perf_counter()
    steps()
    return (time.perf_counter() - start) / STEPS * 1e3


def main() -> None:
    rng = np.random.default_rng(0)

    def normal(rows: int, columns: int) -> np.ndarray:
        return rng.normal(size=(rows, columns)).astype(np.float32)

    x, labels = normal(STEPS * BATCH, INPUTS), rng.integers(0, OUTPUTS, STEPS * BATCH)
    net = cr.Sequential(cr.Dense(HIDDEN), cr.ReLU(), cr.Dense(HIDDEN), cr.ReLU(), cr.Dense(OUTPUTS))
    trainer = cr.Trainer(net, loss="softmax_cross_entropy", optimizer="adam", compile=True)

    def train() -> None:
        trainer.fit(x, labels, epochs=1, batch_size=BATCH, progress="off")

    w1, w2, w3 = normal(INPUTS, HIDDEN), normal(HIDDEN, HIDDEN), normal(HIDDEN, OUTPUTS)
    h1, h2, h3 = normal(BATCH, HIDDEN), normal(BATCH, HIDDEN), normal(BATCH, OUTPUTS)
    d1, d2 = normal(BATCH, HIDDEN), normal(BATCH, HIDDEN)
    g1, g2, g3 = np.empty_like(w1), np.empty_like(w2), np.empty_like(w3)

    def products() -> None:
        for step in range(STEPS):
            rows = x[step * BATCH : (step + 1) * BATCH]
            np.matmul(rows, w1, out=h1)
            np.matmul(h1, w2, out=h2)
            np.matmul(h2, w3, out=h3)
            np.matmul(h2.T, h3, out=g3)
            np.matmul(h3, w3.T, out=d2)
            np.matmul(h1.T, d2, out=g2)
            np.matmul(d2, w2.T, out=d1)
            np.matmul(rows.T, d1, out=g1)

    train()
    products()
    pairs: list[tuple[float, float]] = []
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 40):
        pairs.append((milliseconds(train), milliseconds(products)))
        step, bare = pairs[-1]
        print(f"step {step:.1f}  products {bare:.1f}  ratio {step / bare:.3f}", flush=True)
    step, bare, ratio = (
        median(a for a, _ in pairs),
        median(b for _, b in pairs),
        median(a / b for a, b in pairs),
    )
    print(f"medians: step {step:.1f}, products {bare:.1f}, ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
