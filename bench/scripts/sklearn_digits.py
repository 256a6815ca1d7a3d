"""scikit-learn: digits, one hidden layer of 128, Adam, batches of 32; prints held-out accuracy."""

import sys
import warnings

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

warnings.simplefilter("ignore", ConvergenceWarning)
epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.2, stratify=y, random_state=0
)
net = MLPClassifier(
    (128,), batch_size=32, max_iter=epochs, n_iter_no_change=epochs, alpha=0.0, random_state=0
)
net.fit(X_train, y_train)
print(f"accuracy {net.score(X_test, y_test):.4f}")
