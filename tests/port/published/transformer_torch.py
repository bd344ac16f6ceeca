"""The same on torch's own layers: `nn.TransformerEncoderLayer` is a block, its norms after the sums."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class TransformerClassifier(nn.Module):
    def __init__(self, vocab_size=20000, maxlen=200, d_model=32, nhead=2, dim_feedforward=32, num_layers=2):
        super().__init__()
        self.token_emb = nn.Embedding(vocab_size, d_model)
        self.pos_emb = nn.Embedding(maxlen, d_model)
        layer = nn.TransformerEncoderLayer(d_model, nhead, dim_feedforward, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers)
        self.fc1 = nn.Linear(d_model, 20)
        self.fc2 = nn.Linear(20, 2)
        self.dropout = nn.Dropout(0.1)

    def forward(self, ids):
        positions = torch.arange(ids.shape[1], device=ids.device)
        x = self.token_emb(ids) + self.pos_emb(positions)
        x = self.encoder(x).mean(dim=1)
        x = F.relu(self.fc1(self.dropout(x)))
        return F.softmax(self.fc2(self.dropout(x)), dim=-1)


def as_keras():
    """Keras's epsilon, and dropout only where the example has it: behind attention and behind the hidden layer."""
    net = TransformerClassifier()
    for layer in net.encoder.layers:
        layer.norm1.eps = layer.norm2.eps = 1e-6
        layer.self_attn.dropout = layer.dropout.p = 0.0
    return net
