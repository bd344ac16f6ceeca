"""LSTM-FCN as a port writes it line by line, torch's defaults where Keras's had been left alone."""

from __future__ import annotations

import torch
from torch import nn


class ConvBlock(nn.Module):
    def __init__(self, inputs, filters, width):
        super().__init__()
        self.conv = nn.Conv1d(inputs, filters, width, padding="same")
        self.bn = nn.BatchNorm1d(filters)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.bn(self.conv(x)))


class LSTMFCN(nn.Module):
    def __init__(self, length=128, classes=5, cells=8):
        super().__init__()
        self.lstm = nn.LSTM(length, cells, batch_first=True)
        self.dropout = nn.Dropout(0.8)
        self.block1 = ConvBlock(1, 128, 8)
        self.block2 = ConvBlock(128, 256, 5)
        self.block3 = ConvBlock(256, 128, 3)
        self.fc = nn.Linear(cells + 128, classes)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        y = self.block3(self.block2(self.block1(x)))
        return self.fc(torch.cat([self.dropout(h[-1]), y.mean(dim=2)], dim=1))


def step(net):
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)

    def train(x, y):
        net.train()
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return train
