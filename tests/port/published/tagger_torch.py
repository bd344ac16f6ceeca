"""The tagger in the style of Robert Guthrie's tutorial "Sequence Models and Long Short-Term Memory Networks" (2017).

Time comes first, the tags are logarithms of probabilities, the loss is `NLLLoss`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn, optim


class LSTMTagger(nn.Module):
    def __init__(self, embedding_dim=50, hidden_dim=300, vocab_size=20000, tagset_size=9):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.word_embeddings = nn.Embedding(vocab_size, embedding_dim)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim, bidirectional=True)
        self.hidden2tag = nn.Linear(2 * hidden_dim, tagset_size)

    def forward(self, sentences):
        embeds = self.word_embeddings(sentences.t())
        lstm_out, _ = self.lstm(embeds)
        tag_space = self.hidden2tag(lstm_out)
        return F.log_softmax(tag_space, dim=2).transpose(0, 1)


def step(net):
    loss_function = nn.NLLLoss()
    optimizer = optim.SGD(net.parameters(), lr=0.1)

    def train(sentences, targets):
        net.train()
        net.zero_grad()
        tag_scores = net(sentences)
        loss = loss_function(torch.flatten(tag_scores, 0, 1), torch.flatten(targets))
        loss.backward()
        optimizer.step()
        return loss

    return train
