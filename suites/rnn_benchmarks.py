"""LSTM Benchmarks for Deep Learning Frameworks, Stefan Braun, arXiv 1806.01818 (2018)."""

from bench.spec import (
    KERAS_2_0,
    LSTM,
    Case,
    Dense,
    Documented,
    EmbeddedFeatures,
    KernelSteps,
    Suite,
    Training,
)

LSTM_320 = (LSTM(320, recurrent_activation="sigmoid"), Dense(10, "softmax", use_bias=False))
BIASES = "The paper's cuDNN layers have two biases, 572,800 parameters in all; Keras's LSTM has one."
PRINTED = (
    "The paper draws its times; its repository prints those of PyTorch 0.4.0 (stefbraun/rnn_benchmarks, "
    "results/10/pytorch_comparison): medians of cuDNN's LSTM and of a cell written out, step by step. "
    "A loop over PyTorch's own LSTMCell takes 166.4 ms. No time of Keras is printed."
)

SUITE = Suite(
    "rnn-benchmarks",
    document="arXiv 1806.01818",
    title="LSTM Benchmarks for Deep Learning Frameworks",
    author="Stefan Braun",
    year=2018,
    link="https://arxiv.org/abs/1806.01818",
    era=KERAS_2_0,
    hardware="NVIDIA GeForce GTX 1080, Xeon W-2195",
    cases=(
        Case(
            "lstm-short",
            data=EmbeddedFeatures((100, 123), train=640, test=64, classes=10),
            layers=LSTM_320,
            training=Training("adam", epochs=1, batch_size=64),
            notes=(BIASES,),
        ),
        Case(
            "lstm-long",
            data=EmbeddedFeatures((1000, 123), train=160, test=32, classes=10),
            layers=LSTM_320,
            training=Training("adam", epochs=1, batch_size=32),
            documented=Documented(kernels=KernelSteps("torch", fused=79.8, generic=304.8)),
            notes=(BIASES, PRINTED),
        ),
    ),
)
