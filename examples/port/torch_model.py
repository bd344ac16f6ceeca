"""The port: every number is Keras's, and yet it learns worse. docs/my-port-is-worse.md finds out why."""

from __future__ import annotations

import torch
from torch import nn


class Classifier(nn.Module):
    """The model of `keras_model.py`."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5000, 32)
        self.gru = nn.GRU(32, 32, batch_first=True, bidirectional=True)
        self.hidden = nn.Linear(64, 32)
        self.norm = nn.BatchNorm1d(32, eps=1e-3, momentum=0.99)
        self.output = nn.Linear(32, 1)

    def forward(self, ids):
        """Return a probability for each row of ids."""
        states, _ = self.gru(self.embedding(ids))
        last = states[:, -1]
        hidden = torch.relu(self.norm(self.hidden(last)))
        return torch.sigmoid(self.output(hidden))


def train_step(net):
    """Return a function that trains `net` on one batch and returns its loss."""
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-3, alpha=0.9, eps=1e-7)
    loss_of = nn.BCELoss()

    def step(ids, labels):
        net.train()
        optimizer.zero_grad()
        loss = loss_of(net(ids), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
