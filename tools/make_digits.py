"""Write src/chainrule/data/assets/digits.npz from scikit-learn's copy of the UCI digits.

Run from the repository root with scikit-learn installed: python tools/make_digits.py
Prints the file's size and the SHA-256 of its arrays, which tests/data/test_builtin.py holds.
"""

import hashlib
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).parents[1] / "src" / "chainrule" / "data" / "assets" / "digits.npz"


def main() -> None:
    """Convert without loss to uint8, keep the order, and write the archive."""
    bunch = load_digits()
    x, y = bunch.data.astype(np.uint8), bunch.target.astype(np.uint8)
    if not (np.array_equal(x, bunch.data) and np.array_equal(y, bunch.target)):
        raise SystemExit("scikit-learn's digits do not fit in bytes")
    np.savez_compressed(TARGET, X=x, y=y)
    digest = hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes, sha256 of the arrays {digest}")


if __name__ == "__main__":
    main()
