"""Write examples/bearings.csv, the invented table behind examples/csv_classification.py.

Run from the repository root: python tools/make_bearings.py
Nothing in it was measured. A bearing fails with the probability sigmoid(logit), where the logit
rises with vibration, with running hours and away from 55 degrees, and grinders are hard on theirs.
Cells are left empty at random. Prints the best accuracy that any model can reach on average.
"""

from pathlib import Path

import numpy as np

TARGET = Path(__file__).parents[1] / "examples" / "bearings.csv"
ROWS = 800


def main() -> None:
    """Draw the rows from NumPy's generator, seed 0, and write them."""
    random = np.random.default_rng(0)
    machine = random.choice(["lathe", "mill", "grinder"], ROWS, p=[0.5, 0.3, 0.2])
    hours = np.round(random.uniform(100, 12000, ROWS), -1).astype(int)
    temperature = np.round(random.uniform(25, 85, ROWS), 1)
    vibration = np.round(random.gamma(6.0, 0.5, ROWS), 2)
    logit = (
        -8.0
        + 2.5 * (machine == "grinder")
        + 1.2 * vibration
        + 0.25 * hours / 1000
        + ((temperature - 55) / 11) ** 2
    )
    probability = 1 / (1 + np.exp(-1.6 * logit))
    failed = random.uniform(size=ROWS) < probability
    holes = random.uniform(size=(2, ROWS)) < [[0.05], [0.03]]
    lines = ["machine,hours,temperature_c,vibration_mm_s,failed"]
    for row in range(ROWS):
        heat = "" if holes[0, row] else f"{temperature[row]:.1f}"
        shake = "" if holes[1, row] else f"{vibration[row]:.2f}"
        answer = "yes" if failed[row] else "no"
        lines.append(f"{machine[row]},{hours[row]},{heat},{shake},{answer}")
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")
    best = np.mean(np.maximum(probability, 1 - probability))
    print(f"{TARGET.name}: {ROWS} rows, {failed.mean():.1%} failed, best accuracy {best:.1%}")


if __name__ == "__main__":
    main()
