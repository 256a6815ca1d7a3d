"""PyTorch: digits, one hidden layer of 128, fused Adam, batches of 32, 20 epochs, held-out
accuracy.

The data come from chainrule's own copy as a plain .npz, so that no time goes into another library.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
torch.manual_seed(0)
package = Path(str(find_spec("chainrule").origin)).parent
with np.load(package / "data" / "assets" / "digits.npz") as file:
    X, y = file["X"] if "X" in file else file[file.files[0]], file[file.files[1]]
order = np.random.default_rng(0).permutation(len(X))
held = len(X) // 5
inputs = torch.from_numpy((X[order] / 16).astype(np.float32))
labels = torch.from_numpy(y[order].astype(np.int64))
net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
loss = nn.CrossEntropyLoss()
x, t = inputs[held:], labels[held:]
for _ in range(epochs):
    for rows in torch.randperm(len(x)).split(32):
        optimizer.zero_grad(set_to_none=True)
        loss(net(x[rows]), t[rows]).backward()
        optimizer.step()
with torch.no_grad():
    right = (net(inputs[:held]).argmax(1) == labels[:held]).float().mean()
print(f"accuracy {right:.4f}")
