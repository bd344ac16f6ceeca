"""How long `bench port` takes for a pair with ten million parameters.

    python tests/benchmarks/port.py

Prints the seconds of the command, frameworks' imports included.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks.figures import say  # noqa: E402

KERAS = """
import keras
from keras import layers

def classifier():
    return keras.Sequential([
        keras.Input((60,), dtype="int32"), layers.Embedding(40_000, 240), layers.LSTM(200),
        layers.Dense(128, activation="relu"), layers.Dense(1, activation="sigmoid"),
    ])
"""
TORCH = """
import torch
from torch import nn

class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(40_000, 240)
        self.lstm = nn.LSTM(240, 200, batch_first=True)
        self.hidden = nn.Linear(200, 128)
        self.output = nn.Linear(128, 1)

    def forward(self, ids):
        states, _ = self.lstm(self.embedding(ids))
        return torch.sigmoid(self.output(torch.relu(self.hidden(states[:, -1]))))
"""


def main() -> None:
    """Print the figure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "keras_model.py").write_text(KERAS)
        (folder / "torch_model.py").write_text(TORCH)
        command = [sys.executable, "-m", "bench", "port", "keras_model.py:classifier", "torch_model.py:Classifier"]
        start = time.perf_counter()
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        seconds = time.perf_counter() - start
    if ended.returncode:
        sys.exit(f"exit code {ended.returncode}\n{ended.stdout}{ended.stderr}")
    print(f"bench port, 10 million parameters: {seconds:.1f} s")
    say(seconds=seconds)


if __name__ == "__main__":
    main()
