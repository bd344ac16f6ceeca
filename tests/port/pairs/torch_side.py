"""The PyTorch side of every pair: ports as their users write them. `# planted` marks the one fault of a port."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

# --- dense layers ------------------------------------------------------------------------------------------------


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 8)
        self.fc2 = nn.Linear(8, 5)
        self.out = nn.Linear(5, 1)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return torch.sigmoid(self.out(x))


class MLPLogits(MLP):
    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.out(x)


class MLPInitialised(MLP):
    def __init__(self):
        super().__init__()
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)


def mlp_sequential():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 1), nn.Sigmoid())


class MLPTanh(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(6, 8),
            nn.Tanh(),  # planted
            nn.Linear(8, 5),
            nn.ReLU(),
            nn.Linear(5, 1),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return self.layers(x)


class MLPWithoutSecondRelu(MLP):
    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = self.fc2(x)  # planted
        return torch.sigmoid(self.out(x))  # planted


class MLPWithoutBias(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 8)
        self.fc2 = nn.Linear(8, 5, bias=False)  # planted
        self.out = nn.Linear(5, 1)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return torch.sigmoid(self.out(x))


class MLPFrozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 8)
        self.fc1.requires_grad_(False)  # planted
        self.fc2 = nn.Linear(8, 5)
        self.out = nn.Linear(5, 1)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return torch.sigmoid(self.out(x))


class Regression(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(6, 8)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(torch.tanh(self.hidden(x)))


class Classifier(nn.Module):
    """Returns logits, as `CrossEntropyLoss` wants them."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(6, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.hidden(x).relu())


class ClassifierSoftmax(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(6, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        x = F.relu(self.hidden(x))
        return F.softmax(self.head(x), dim=1)


class Leaky(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(6, 8)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(F.leaky_relu(self.hidden(x), 0.3))


class LeakyDefault(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(6, 8)
        self.activation = nn.LeakyReLU()  # planted
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(self.activation(self.hidden(x)))


class Gelu(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 1))

    def forward(self, x):
        return self.net(x)


class GeluTanh(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 8)
        self.act = nn.GELU(approximate="tanh")  # planted
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(self.act(self.fc(x)))


class GeluFunctional(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 8)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        x = F.gelu(self.fc(x), approximate="tanh")  # planted
        return self.head(x)


class EluSelu(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(6, 8)
        self.b = nn.Linear(8, 8)
        self.c = nn.Linear(8, 2)

    def forward(self, x):
        x = F.elu(self.a(x))
        x = F.selu(self.b(x))
        return F.hardsigmoid(self.c(x))


class DropoutMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 64)
        self.fc2 = nn.Linear(64, 64)
        self.fc3 = nn.Linear(64, 1)
        self.dropout1 = nn.Dropout(0.2)
        self.dropout2 = nn.Dropout(0.2)

    def forward(self, x):
        x = self.dropout1(F.relu(self.fc1(x)))
        x = self.dropout2(F.relu(self.fc2(x)))
        return torch.sigmoid(self.fc3(x))


class DropoutKeep(nn.Module):
    """Takes the rate for what it was in TensorFlow 1: the share to keep."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 64)
        self.dropout1 = nn.Dropout(0.8)  # planted
        self.fc2 = nn.Linear(64, 64)
        self.dropout2 = nn.Dropout(0.2)
        self.fc3 = nn.Linear(64, 1)

    def forward(self, x):
        x = self.dropout1(F.relu(self.fc1(x)))
        x = self.dropout2(F.relu(self.fc2(x)))
        return torch.sigmoid(self.fc3(x))


class DropoutDefault(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(6, 64),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(64, 64),
            nn.ReLU(),
            nn.Dropout(),  # planted
            nn.Linear(64, 1),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return self.net(x)


class DropoutMissing(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 64)
        self.fc2 = nn.Linear(64, 64)
        self.fc3 = nn.Linear(64, 1)
        self.dropout = nn.Dropout(0.2)

    def forward(self, x):
        x = self.dropout(F.relu(self.fc1(x)))
        x = F.relu(self.fc2(x))  # planted
        return torch.sigmoid(self.fc3(x))


class DropoutAlways(nn.Module):
    """The function's `training` is True unless it is told."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 64)
        self.fc2 = nn.Linear(64, 64)
        self.fc3 = nn.Linear(64, 1)

    def forward(self, x):
        x = F.dropout(F.relu(self.fc1(x)), 0.2)  # planted
        x = F.dropout(F.relu(self.fc2(x)), 0.2, self.training)
        return torch.sigmoid(self.fc3(x))


class BatchNormMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 8, bias=False)
        self.bn = nn.BatchNorm1d(8, eps=1e-3, momentum=0.01)
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        return torch.sigmoid(self.out(F.relu(self.bn(self.fc(x)))))


class BatchNormMomentum(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 8, bias=False)
        self.bn = nn.BatchNorm1d(8, eps=1e-3)  # planted
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        return torch.sigmoid(self.out(F.relu(self.bn(self.fc(x)))))


class BatchNormCopiedMomentum(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 8, bias=False)
        self.bn = nn.BatchNorm1d(8, eps=1e-3, momentum=0.99)  # planted
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        return torch.sigmoid(self.out(F.relu(self.bn(self.fc(x)))))


class BatchNormEpsilon(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 8, bias=False)
        self.bn = nn.BatchNorm1d(8, momentum=0.01)  # planted
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        return torch.sigmoid(self.out(F.relu(self.bn(self.fc(x)))))


class BatchNormBeforeRelu(nn.Module):
    """In Keras ReLU comes after the normalisation."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 8, bias=False)
        self.bn = nn.BatchNorm1d(8, eps=1e-3, momentum=0.01)
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        x = self.bn(F.relu(self.fc(x)))  # planted
        return torch.sigmoid(self.out(x))


class BatchNormTwiceBeforeRelu(nn.Module):
    """Two blocks with the same fault."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 8, bias=False)
        self.bn1 = nn.BatchNorm1d(8, eps=1e-3, momentum=0.01)
        self.fc2 = nn.Linear(8, 8, bias=False)
        self.bn2 = nn.BatchNorm1d(8, eps=1e-3, momentum=0.01)
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        x = self.bn1(F.relu(self.fc1(x)))  # planted
        x = self.bn2(F.relu(self.fc2(x)))  # planted
        return torch.sigmoid(self.out(x))


class BatchNormEval(BatchNormMLP):
    def train(self, mode=True):
        super().train(mode)
        self.bn.eval()  # planted
        return self


class BatchNormFast(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.BatchNorm1d(8, momentum=0.9))
        self.head = nn.Sequential(nn.Linear(8, 1), nn.Sigmoid())

    def forward(self, x):
        return self.head(self.body(x))


class BatchNormFastDefault(nn.Module):
    """Both say 0.1, and mean the opposite."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(6, 8),
            nn.ReLU(),
            nn.BatchNorm1d(8, momentum=0.1),  # planted
        )
        self.head = nn.Sequential(nn.Linear(8, 1), nn.Sigmoid())

    def forward(self, x):
        return self.head(self.body(x))


class LayerNormMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(6, 8)
        self.norm = nn.LayerNorm(8, eps=1e-3)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(F.gelu(self.norm(self.proj(x))))


class LayerNormEpsilon(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(6, 8)
        self.norm = nn.LayerNorm(8)  # planted
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(F.gelu(self.norm(self.proj(x))))


class LayerNormUnused(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(6, 8)
        self.norm = nn.LayerNorm(8, eps=1e-3)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        x = F.gelu(self.proj(x))  # planted
        return self.head(x)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.block = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = F.relu(x + self.block(x))
        return torch.sigmoid(self.head(x))


class ResidualLateRelu(nn.Module):
    """ReLU on the branch, not on the sum."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.block = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = x + F.relu(self.block(x))  # planted
        return torch.sigmoid(self.head(x))


class TwoTowers(nn.Module):
    def __init__(self):
        super().__init__()
        self.left = nn.Linear(6, 8)
        self.right = nn.Linear(6, 8)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(torch.cat([F.relu(self.left(x)), torch.tanh(self.right(x))], dim=1))


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Sequential(nn.Linear(6, 8), nn.ReLU()), nn.Sequential(nn.Linear(8, 4), nn.ReLU())
        )
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.encoder(x))


# --- convolutions ------------------------------------------------------------------------------------------------


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.fc = nn.Linear(5 * 5 * 8, 4)

    def forward(self, x):
        x = x.permute(0, 3, 1, 2)
        x = self.pool(F.relu(self.conv1(x)))
        x = F.relu(self.conv2(x))
        return self.fc(x.permute(0, 2, 3, 1).flatten(1))


class CNNFlatten(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.fc = nn.Linear(5 * 5 * 8, 4)

    def forward(self, x):
        x = x.permute(0, 3, 1, 2)
        x = self.pool(F.relu(self.conv1(x)))
        x = F.relu(self.conv2(x))
        x = torch.flatten(x, 1)  # planted
        return self.fc(x)


class CNNFlattenModule(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding="same"), nn.ReLU()
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # planted
            nn.Linear(200, 4),
        )

    def forward(self, x):
        return self.classifier(self.features(x.permute(0, 3, 1, 2)))


class CNNGlobal(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6, eps=1e-3, momentum=0.01), nn.ReLU(inplace=True)
        )
        self.conv = nn.Conv2d(6, 8, 3, padding="same")
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = x.permute(0, 3, 1, 2)
        x = self.conv(self.block(x)).relu()
        return F.softmax(self.fc(x.mean(dim=(2, 3))), dim=-1)


class Strided(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2)
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = x.permute(0, 3, 1, 2)
        x = F.relu(self.conv1(F.pad(x, (0, 1, 0, 1))))
        x = F.relu(self.conv2(F.pad(x, (0, 1, 0, 1))))
        return self.fc(self.pool(x).flatten(1))


class StridedSymmetric(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2, padding=1)  # planted
        self.conv2 = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = x.permute(0, 3, 1, 2)
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        return self.fc(self.pool(x).flatten(1))


class StridedTextSymmetric(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6)
        self.conv = nn.Conv1d(6, 8, kernel_size=5, stride=2, padding=2)  # planted
        self.out = nn.Linear(8, 1)

    def forward(self, ids):
        x = self.embedding(ids).transpose(1, 2)
        x = F.relu(self.conv(x))
        x, _ = x.max(dim=2)
        return torch.sigmoid(self.out(x))


class EvenKernel(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 4, padding="same")
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        x = torch.tanh(self.conv(x.transpose(1, 2)))
        return self.out(x.mean(-1))


class EvenKernelCut(nn.Module):
    """Pads 2 on both sides and cuts the last: 2 before and 1 after, where Keras has 1 and 2."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 4, padding=2)  # planted
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        x = torch.tanh(self.conv(x.transpose(1, 2))[..., :-1])
        return self.out(x.mean(-1))


class Dilated(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3, dilation=2)
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        x = F.relu(self.conv(x.mT))
        return self.out(x.max(dim=2).values)


class DilationForgotten(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3)  # planted
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        x = F.relu(self.conv(x.mT))
        return self.out(x.max(dim=2).values)


class ConvText(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6)
        self.conv1 = nn.Conv1d(6, 8, 3)
        self.conv2 = nn.Conv1d(8, 8, 3)
        self.pool = nn.MaxPool1d(2)
        self.out = nn.Linear(8, 1)

    def forward(self, ids):
        x = self.embedding(ids).transpose(1, 2)
        x = self.pool(F.relu(self.conv1(x)))
        x = F.relu(self.conv2(x))
        return torch.sigmoid(self.out(F.adaptive_max_pool1d(x, 1).squeeze(-1)))


class ConvTextPool(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6)
        self.conv1 = nn.Conv1d(6, 8, 3)
        self.conv2 = nn.Conv1d(8, 8, 3)
        self.pool = nn.MaxPool1d(3)  # planted
        self.out = nn.Linear(8, 1)

    def forward(self, ids):
        x = self.embedding(ids).transpose(1, 2)
        x = self.pool(F.relu(self.conv1(x)))
        x = F.relu(self.conv2(x))
        return torch.sigmoid(self.out(x.amax(2)))


class ConvTextStride(nn.Module):
    """Keras's pools step by their own size; here the stride was taken for 1."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6)
        self.conv1 = nn.Conv1d(6, 8, 3)
        self.conv2 = nn.Conv1d(8, 8, 3)
        self.out = nn.Linear(8, 1)

    def forward(self, ids):
        x = self.embedding(ids).transpose(1, 2)
        x = F.max_pool1d(F.relu(self.conv1(x)), 2, stride=1)  # planted
        x = F.relu(self.conv2(x))
        return torch.sigmoid(self.out(x.amax(2)))


class ConvFlatten(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3)
        self.out = nn.Linear(14 * 8, 1)

    def forward(self, x):
        x = F.relu(self.conv(x.permute(0, 2, 1))).permute(0, 2, 1)
        return torch.sigmoid(self.out(x.reshape(len(x), -1)))


class ConvFlattenView(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3)
        self.out = nn.Linear(14 * 8, 1)

    def forward(self, x):
        x = F.relu(self.conv(x.permute(0, 2, 1)))
        x = x.view(x.size(0), -1)  # planted
        return torch.sigmoid(self.out(x))


class ConvLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3, padding=1)
        self.bn = nn.BatchNorm1d(8, eps=1e-3, momentum=0.01)
        self.dropout = nn.Dropout(0.25)
        self.lstm = nn.LSTM(8, 6, batch_first=True)
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        x = F.relu(self.bn(self.conv(x.transpose(1, 2))))
        _, (h, _) = self.lstm(self.dropout(x.transpose(1, 2)))
        return self.fc(h[-1]).softmax(-1)


class ConvBNRelu(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3)
        self.bn = nn.BatchNorm1d(8)
        self.fc = nn.Linear(8, 1)

    def forward(self, x):
        x = self.bn(self.conv(x.transpose(1, 2)))
        return self.fc(x.relu().mean(2))


class ConvReluBN(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3)
        self.bn = nn.BatchNorm1d(8)
        self.fc = nn.Linear(8, 1)

    def forward(self, x):
        x = x.transpose(1, 2)
        x = F.relu(self.conv(x))  # planted
        x = self.bn(x)  # planted
        return self.fc(x.mean(2))


class AveragePool(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3)
        self.pool = nn.AvgPool1d(3, stride=1, padding=1, count_include_pad=False)
        self.fc = nn.Linear(8, 1)

    def forward(self, x):
        x = self.pool(torch.tanh(self.conv(x.transpose(1, 2))))
        return self.fc(x.max(-1)[0])


class AveragePoolPadded(nn.Module):
    """Counts the padding, which Keras does not."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3)
        self.pool = nn.AvgPool1d(3, stride=1, padding=1)  # planted
        self.fc = nn.Linear(8, 1)

    def forward(self, x):
        x = self.pool(torch.tanh(self.conv(x.transpose(1, 2))))
        return self.fc(x.max(-1)[0])


class AveragePool2d(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.fc = nn.Linear(150, 4)

    def forward(self, x):
        x = F.avg_pool2d(F.relu(self.conv(x.movedim(-1, 1))), 2)
        return self.fc(x.movedim(1, -1).flatten(1))


# --- recurrent layers --------------------------------------------------------------------------------------------


class EmbeddingLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6)
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.fc = nn.Linear(5, 1)

    def forward(self, ids):
        _, (h_n, _) = self.lstm(self.embedding(ids))
        return torch.sigmoid(self.fc(h_n[-1]))


class EmbeddingLSTMOneBias(EmbeddingLSTM):
    def __init__(self):
        super().__init__()
        self.lstm.bias_hh_l0.requires_grad_(False).zero_()


class EmbeddingLSTMTwoBiases(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6)
        self.lstm = nn.LSTM(6, 5, batch_first=True)  # planted
        self.fc = nn.Linear(5, 1)

    def forward(self, ids):
        out, _ = self.lstm(self.embedding(ids))
        return self.fc(out[:, -1]).sigmoid()


class EmbeddingLSTMPadding(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6, padding_idx=0)  # planted
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.fc = nn.Linear(5, 1)

    def forward(self, ids):
        _, (h_n, _) = self.lstm(self.embedding(ids))
        return torch.sigmoid(self.fc(h_n[-1]))


class CellState(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6)
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.fc = nn.Linear(5, 1)

    def forward(self, ids):
        _, (_, state) = self.lstm(self.embedding(ids))  # planted
        x = state[-1]  # planted
        return torch.sigmoid(self.fc(x))


class MaskedLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6, padding_idx=0)
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.fc = nn.Linear(5, 1)

    def forward(self, ids):
        lengths = (ids != 0).sum(dim=1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(self.embedding(ids), lengths, batch_first=True, enforce_sorted=False)
        _, (h_n, _) = self.lstm(packed)
        return torch.sigmoid(self.fc(h_n[-1]))


class MaskForgotten(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6, padding_idx=0)
        self.lstm = nn.LSTM(6, 5, batch_first=True)  # planted
        self.fc = nn.Linear(5, 1)

    def forward(self, ids):
        x = self.embedding(ids)
        out, _ = self.lstm(x)  # planted
        return torch.sigmoid(self.fc(out[:, -1]))


class MaskedAverage(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6, padding_idx=0)
        self.fc = nn.Linear(6, 1)

    def forward(self, ids):
        mask = (ids != 0).unsqueeze(-1).to(self.fc.weight.dtype)
        x = (self.embedding(ids) * mask).sum(1) / mask.sum(1)
        return torch.sigmoid(self.fc(x))


class AverageOfPadding(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6, padding_idx=0)
        self.fc = nn.Linear(6, 1)

    def forward(self, ids):
        x = self.embedding(ids).mean(dim=1)  # planted
        return torch.sigmoid(self.fc(x))


class FrozenEmbedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(torch.randn(50, 6))
        self.fc = nn.Linear(6, 1)

    def forward(self, ids):
        return torch.sigmoid(self.fc(self.embedding(ids).mean(dim=1)))


class EmbeddingAverage(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6)
        self.fc1 = nn.Linear(6, 4)
        self.fc2 = nn.Linear(4, 1)

    def forward(self, ids):
        x = self.embedding(ids).mean(dim=1)
        return torch.sigmoid(self.fc2(F.relu(self.fc1(x))))


class EmbeddingFrozen(nn.Module):
    """`from_pretrained` freezes unless it is told."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(torch.rand(50, 6) * 0.1 - 0.05)  # planted
        self.fc1 = nn.Linear(6, 4)
        self.fc2 = nn.Linear(4, 1)

    def forward(self, ids):
        x = self.embedding(ids).mean(dim=1)
        return torch.sigmoid(self.fc2(F.relu(self.fc1(x))))


class StackedLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 5, num_layers=2, batch_first=True)
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.fc(out[:, -1, :])


class StackedLSTMSeparate(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm1 = nn.LSTM(4, 5, batch_first=True)
        self.lstm2 = nn.LSTM(5, 5, batch_first=True)
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        x, _ = self.lstm1(x)
        x, _ = self.lstm2(x)
        return self.fc(x[:, -1])


class StackedLSTMFirst(nn.Module):
    """Takes the last state of the first layer, where the second's is meant."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 5, num_layers=2, batch_first=True)
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        _, (h_n, _) = self.lstm(x)
        last = h_n[0]  # planted
        return self.fc(last)


class LSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.fc = nn.Linear(5, 1)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.fc(h.squeeze(0))


class LSTMFirstStep(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.fc = nn.Linear(5, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        out = out[:, 0, :]  # planted
        return self.fc(out)


class LSTMPlain(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True)  # planted
        self.fc = nn.Linear(5, 1)

    def forward(self, x):
        out, _ = self.lstm(x)  # planted
        return self.fc(out[:, -1])


class LSTMFlipped(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.fc = nn.Linear(5, 1)

    def forward(self, x):
        out, _ = self.lstm(torch.flip(x, dims=[1]))
        return self.fc(out[:, -1])


class BiLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6)
        self.lstm = nn.LSTM(6, 5, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(10, 1)

    def forward(self, ids):
        _, (h_n, _) = self.lstm(self.embedding(ids))
        return torch.sigmoid(self.fc(torch.cat([h_n[-2], h_n[-1]], dim=1)))


class BiLSTMLastStep(nn.Module):
    """At the last step the backward direction has read one word."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6)
        self.lstm = nn.LSTM(6, 5, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(10, 1)

    def forward(self, ids):
        out, _ = self.lstm(self.embedding(ids))
        out = out[:, -1, :]  # planted
        return torch.sigmoid(self.fc(out))


class BiLSTMSwapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6)
        self.lstm = nn.LSTM(6, 5, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(10, 1)

    def forward(self, ids):
        _, (h_n, _) = self.lstm(self.embedding(ids))
        x = torch.cat((h_n[1], h_n[0]), dim=-1)  # planted
        return torch.sigmoid(self.fc(x))


class BiGRUStacked(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 5, num_layers=2, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(10, 3)

    def forward(self, x):
        _, h = self.gru(x)
        return self.fc(torch.cat([h[-2], h[-1]], 1))


class GRU(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 5, batch_first=True)
        self.fc = nn.Linear(5, 1)

    def forward(self, x):
        out, _ = self.gru(x)
        return self.fc(out[:, -1])


class GRUResetAfter(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 5, batch_first=True)  # planted
        self.fc = nn.Linear(5, 1)

    def forward(self, x):
        out, _ = self.gru(x)  # planted
        return self.fc(out[:, -1])


class SimpleRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(4, 5, batch_first=True)
        self.fc = nn.Linear(5, 1)

    def forward(self, x):
        _, h = self.rnn(x)
        return self.fc(h[0])


class BiRNNRelu(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(4, 5, nonlinearity="relu", bidirectional=True, batch_first=True)
        self.fc = nn.Linear(10, 1)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.fc(torch.cat([out[:, -1, :5], out[:, 0, 5:]], dim=1))


class BiRNNTanh(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(4, 5, bidirectional=True, batch_first=True)  # planted
        self.fc = nn.Linear(10, 1)

    def forward(self, x):
        _, h = self.rnn(x)  # planted
        return self.fc(torch.cat([h[0], h[1]], dim=1))


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 6)
        self.lstm = nn.LSTM(6, 5, bidirectional=True, batch_first=True)
        self.tag = nn.Linear(10, 4)

    def forward(self, ids):
        out, _ = self.lstm(self.embedding(ids))
        return F.softmax(self.tag(out), dim=-1)


# --- attention ---------------------------------------------------------------------------------------------------


class AttentionBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm1 = nn.LayerNorm(8, eps=1e-6)
        self.norm2 = nn.LayerNorm(8, eps=1e-6)
        self.ffn = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        attended, _ = self.attention(x, x, x)
        x = self.norm1(x + attended)
        x = self.norm2(x + self.ffn(x))
        return self.head(x.mean(dim=1))


class AttentionPreNorm(nn.Module):
    """Normalises before attention, where Keras's model does so after the sum."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm1 = nn.LayerNorm(8, eps=1e-6)
        self.norm2 = nn.LayerNorm(8, eps=1e-6)
        self.ffn = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        attended, _ = self.attention(x, x, x)
        x = x + self.norm1(attended)  # planted
        x = self.norm2(x + self.ffn(x))
        return self.head(x.mean(dim=1))


# --- one training step -------------------------------------------------------------------------------------------


def stepper(net, optimizer, criterion):
    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def adam(net):
    """Train by Keras's Adam, whose epsilon lies before the bias correction."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    number = itertools.count(1)

    def step(x, y):
        net.train()
        loss = F.binary_cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["eps"] = 1e-7 / (1 - 0.999 ** next(number)) ** 0.5
        optimizer.step()
        return loss.item()

    return step


def adam_constant(net):
    """Forgets that Keras's rate decays, which the first step does not show."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)  # planted
    number = itertools.count(1)

    def step(x, y):
        net.train()
        loss = F.binary_cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["eps"] = 1e-7 / (1 - 0.999 ** next(number)) ** 0.5
        optimizer.step()
        return loss.item()

    return step


def adam_default(net):
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)  # planted
    return stepper(net, optimizer, nn.BCELoss())


def adam_epsilon(net):
    """Copies Keras's epsilon, which means another thing after the correction."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, eps=1e-7)  # planted
    return stepper(net, optimizer, nn.BCELoss())


def adam_classes_default(net):
    return stepper(net, torch.optim.Adam(net.parameters()), nn.CrossEntropyLoss())  # planted


def adam_beta(net):
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.9, 0.99))  # planted
    number = itertools.count(1)

    def step(x, y):
        net.train()
        loss = F.binary_cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["eps"] = 1e-7 / (1 - 0.99 ** next(number)) ** 0.5
        optimizer.step()
        return loss.item()

    return step


def adamw_step(net, optimizer):
    number = itertools.count(1)

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = F.binary_cross_entropy(net(x), y)
        loss.backward()
        for group in optimizer.param_groups:
            group["eps"] = 1e-7 / (1 - 0.999 ** next(number)) ** 0.5
        optimizer.step()
        return loss

    return step


def adamw(net):
    return adamw_step(net, torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01))


def adamw_coupled(net):
    return adamw_step(net, torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=0.01))  # planted


def adamw_decay(net):
    return adamw_step(net, torch.optim.AdamW(net.parameters(), lr=1e-3))  # planted


class KerasRMSprop(torch.optim.Optimizer):
    """Keras's formula: the epsilon inside the root."""

    def __init__(self, params, lr=1e-3, rho=0.9, epsilon=1e-7):
        super().__init__(params, {"lr": lr, "rho": rho, "epsilon": epsilon})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
                    mean.lerp_(weight.grad**2, 1 - group["rho"])
                    weight -= group["lr"] * weight.grad / (mean + group["epsilon"]).sqrt()


def rmsprop(net):
    return stepper(net, KerasRMSprop(net.parameters()), nn.BCELoss())


def rmsprop_epsilon(net):
    optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-3, alpha=0.9, eps=1e-7)  # planted
    return stepper(net, optimizer, nn.BCELoss())


def rmsprop_rho(net):
    optimizer = KerasRMSprop(net.parameters(), rho=0.99)  # planted
    return stepper(net, optimizer, nn.BCELoss())


def sgd(net):
    return stepper(net, torch.optim.SGD(net.parameters(), lr=0.1), nn.BCELoss())


def sgd_rate(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)  # planted
    return stepper(net, optimizer, nn.BCELoss())


def sgd_as_adam(net):
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)  # planted
    return stepper(net, optimizer, nn.BCELoss())


def sgd_logits(net):
    return stepper(net, torch.optim.SGD(net.parameters(), lr=0.1), nn.BCEWithLogitsLoss())


def sgd_twice_sigmoid(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    criterion = nn.BCEWithLogitsLoss()  # planted

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = criterion(net(x), y)  # planted
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def sgd_classes(net):
    return stepper(net, torch.optim.SGD(net.parameters(), lr=0.1), nn.CrossEntropyLoss())


def sgd_twice_softmax(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)  # planted
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def sgd_log_softmax(net):
    """Takes the logarithm of the module's probabilities."""
    return stepper(net, torch.optim.SGD(net.parameters(), lr=0.1), lambda p, y: F.nll_loss(torch.log(p), y))


def sgd_onehot(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y.argmax(dim=1))
        loss.backward()
        optimizer.step()
        return loss

    return step


def sgd_onehot_shifted(net):
    """Counts the classes from 1, and the last is 0."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        target = (y.argmax(dim=1) + 1) % 3  # planted
        loss = F.cross_entropy(net(x), target)  # planted
        loss.backward()
        optimizer.step()
        return loss

    return step


def sgd_smoothed(net):
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)  # planted
    return stepper(net, torch.optim.SGD(net.parameters(), lr=0.1), criterion)


def sgd_flipped(net):
    """1 for the negatives."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = F.binary_cross_entropy(net(x), 1 - y)  # planted
        loss.backward()
        optimizer.step()
        return loss

    return step


def sgd_sum(net):
    criterion = nn.BCELoss(reduction="sum")  # planted
    return stepper(net, torch.optim.SGD(net.parameters(), lr=0.1), criterion)


def sgd_mse(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = F.mse_loss(net(x).squeeze(1), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def sgd_penalty(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = F.mse_loss(net(x).squeeze(1), y) + 0.01 * net.hidden.weight.square().sum()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def sgd_penalty_forgotten(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = F.mse_loss(net(x).squeeze(1), y)  # planted
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def sgd_mse_sum(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = ((net(x).squeeze(1) - y) ** 2).sum()  # planted
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def sgd_mse_broadcast(net):
    """(8, 1) against (8,): every prediction against every label."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = F.mse_loss(net(x), y)  # planted
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def sgd_mae_broadcast(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = (net(x) - y).abs().mean()  # planted
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def momentum(net):
    return stepper(net, torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, nesterov=True), nn.BCELoss())


def momentum_decay(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.5, nesterov=True)  # planted
    return stepper(net, optimizer, nn.BCELoss())


def sgd_weight_decay(net):
    """Without momentum coupled and decoupled decay agree."""
    return stepper(net, torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.01), nn.BCELoss())


def clipped(net, clip):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = F.mse_loss(net(x)[:, 0], y)
        loss.backward()
        clip(net.parameters())
        optimizer.step()
        return loss.item()

    return step


def clip_value(net):
    return clipped(net, lambda parameters: nn.utils.clip_grad_value_(parameters, 0.01))


def clip_value_wide(net):
    return clipped(net, lambda parameters: nn.utils.clip_grad_value_(parameters, 0.1))  # planted


def clip_value_missing(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = F.mse_loss(net(x).squeeze(-1), y)
        loss.backward()
        optimizer.step()  # planted
        return loss.item()

    return step


def clip_global(net):
    return clipped(net, lambda parameters: nn.utils.clip_grad_norm_(parameters, 0.1))


def clip_each_as_global(net):
    """Keras's `clipnorm` holds each weight's gradient, this holds all of them together."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = F.mse_loss(net(x).squeeze(-1), y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 0.05)  # planted
        optimizer.step()
        return loss.item()

    return step


def exponential(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.8)

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = F.binary_cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss.item()

    return step


def exponential_late(net):
    """Lowers the rate from the third step on."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: 0.8 ** (n + 1))  # planted

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = F.binary_cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss.item()

    return step


def exponential_rate(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)  # planted

    def step(x, y):
        net.train()
        optimizer.zero_grad()
        loss = F.binary_cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
        return loss.item()

    return step


def exponential_missing(net):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)  # planted
    return stepper(net, optimizer, nn.BCELoss())


def scheduled(net, schedule):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scheduler = schedule(optimizer)
    inner = stepper(net, optimizer, nn.BCELoss())

    def step(x, y):
        loss = inner(x, y)
        scheduler.step()
        return loss

    return step


def piecewise(net):
    """Keras's boundary is the last step of the old rate."""
    return scheduled(net, lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[4], gamma=0.1))


def piecewise_early(net):
    return scheduled(net, lambda optimizer: torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[3]))  # planted


def cosine(net):
    return scheduled(net, lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20))


def mode_forgotten(net):
    """Scores the model first, and does not turn it back."""
    net.eval()  # planted
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def step(x, y):
        optimizer.zero_grad()
        loss = F.binary_cross_entropy(net(x), y)  # planted
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def rows():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 6, generator=generator)
    return TensorDataset(x, (x[:, :1] > 0).to(x.dtype))


def loader(net):
    return sgd(net), DataLoader(rows(), batch_size=8, shuffle=True)


def loader_in_order(net):
    return sgd(net), DataLoader(rows(), batch_size=8)


def loader_unshuffled(net):
    return sgd(net), DataLoader(rows(), batch_size=8)  # planted


def loader_drops(net):
    return sgd(net), DataLoader(rows(), batch_size=8, shuffle=True, drop_last=True)  # planted
