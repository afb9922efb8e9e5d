"""Sequential models that the Keras 2 bridge is tested with."""

from typing import Any

import keras
from keras import layers as L  # noqa: N812


def stack(shape: Any, *layers: Any, dtype: Any = None) -> keras.Model:
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


IMAGE, SIGNAL, VOLUME, STEPS = (16, 16, 3), (16, 3), (8, 8, 8, 2), (6, 4)

STACKS = {
    "cnn": lambda: stack(
        IMAGE,
        L.Rescaling(1 / 255),
        L.Conv2D(4, 3, activation="relu", kernel_regularizer="l2"),
        L.BatchNormalization(scale=False),
        L.DepthwiseConv2D(3),
        L.MaxPooling2D(),
        L.Dropout(0.2),
        L.Flatten(),
        L.Dense(10, activation="softmax"),
    ),
    "conv1d": lambda: stack(
        SIGNAL,
        L.Conv1D(4, 3, padding="causal"),
        L.SeparableConv1D(4, 3),
        L.Conv1DTranspose(3, 2),
        L.DepthwiseConv1D(3),
        L.UpSampling1D(),
        L.ZeroPadding1D(),
        L.Cropping1D(),
        L.AveragePooling1D(2),
        L.SpatialDropout1D(0.1),
        L.GlobalAveragePooling1D(keepdims=True),
        L.Permute((2, 1)),
        L.Reshape((-1, 1)),
        L.Flatten(),
        L.RepeatVector(3),
    ),
    "conv2d": lambda: stack(
        IMAGE,
        L.SeparableConv2D(4, 3),
        L.Conv2DTranspose(4, 3, strides=2),
        L.UpSampling2D(2, interpolation="bilinear"),
        L.ZeroPadding2D(1),
        L.Cropping2D(1),
        L.AveragePooling2D(2),
        L.GaussianNoise(0.1),
        L.GaussianDropout(0.1),
        L.AlphaDropout(0.1),
        L.GlobalMaxPooling2D(),
    ),
    "conv3d": lambda: stack(
        VOLUME,
        L.Conv3D(3, 3),
        L.Conv3DTranspose(2, 3),
        L.MaxPooling3D(),
        L.GlobalAveragePooling3D(),
    ),
    "augmentation": lambda: stack(
        IMAGE,
        L.RandomFlip(seed=1),
        L.RandomRotation(0.1),
        L.RandomZoom(0.1),
        L.RandomTranslation(0.1, 0.1),
        L.RandomContrast(0.1),
        L.RandomBrightness(0.1),
        L.RandomHue(0.1, [0, 1]),
        L.RandomErasing(0.1),
        L.Resizing(12, 12),
        L.CenterCrop(8, 8),
        L.Rescaling([0.1, 0.2, 0.3]),
    ),
    "normalization": lambda: stack(
        (8, 8, 4),
        L.GroupNormalization(2),
        L.LayerNormalization(),
        L.UnitNormalization(),
        L.RMSNormalization(),
        L.BatchNormalization(),
    ),
    "activation_layers": lambda: stack(
        (8, 8),
        L.LeakyReLU(0.1),
        L.PReLU(),
        L.ELU(0.3),
        L.ReLU(6, 0.1, 0.2),
        L.Softmax(axis=1),
    ),
    "penalties": lambda: stack(
        (8,),
        L.Dense(
            4,
            kernel_regularizer=keras.regularizers.L1L2(0.1, 0.2),
            kernel_constraint=keras.constraints.MaxNorm(2),
            bias_constraint="non_neg",
            activity_regularizer="l1",
        ),
        L.Dense(3, kernel_regularizer="orthogonal_regularizer"),
    ),
    "spectral": lambda: stack((8, 4), L.SpectralNormalization(L.Dense(3))),
    "einsum_dense": lambda: stack(
        (8, 4), L.EinsumDense("abc,cd->abd", (8, 5), bias_axes="d")
    ),
    "adaptive": lambda: stack(IMAGE, L.AdaptiveAveragePooling2D(4)),
    "category": lambda: stack(
        (1,), L.CategoryEncoding(7, output_mode="one_hot"), dtype="int32"
    ),
    "discretization": lambda: stack((1,), L.Discretization([0.0, 1.0])),
    "bytes": lambda: stack(
        IMAGE, L.Rescaling(1 / 255), L.Conv2D(2, 3), dtype="uint8"
    ),
    "float64": lambda: stack((6,), L.Dense(3, dtype="float64")),
    "simple_rnn": lambda: stack(STEPS, L.SimpleRNN(3)),
    "gru": lambda: stack(
        STEPS, L.GRU(3, return_sequences=True), L.GRU(3, reset_after=False)
    ),
    "lstm": lambda: stack(
        STEPS,
        L.LSTM(3, return_sequences=True, go_backwards=True),
        L.LSTM(3, recurrent_activation="hard_sigmoid", unroll=True),
    ),
    "cell": lambda: stack(STEPS, L.RNN(L.LSTMCell(3))),
    "cells": lambda: stack(STEPS, L.RNN([L.LSTMCell(3), L.GRUCell(2)])),
    "bidirectional": lambda: stack(
        STEPS,
        L.Bidirectional(L.LSTM(3, return_sequences=True)),
        L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode="sum"),
        L.Bidirectional(L.SimpleRNN(3)),
    ),
    "backward_layer": lambda: stack(
        STEPS,
        L.Bidirectional(L.LSTM(3), backward_layer=L.GRU(3, go_backwards=True)),
    ),
    "conv_lstm": lambda: stack((3, 8, 8, 2), L.ConvLSTM2D(2, 3)),
    "masking": lambda: stack(STEPS, L.Masking(), L.LSTM(3)),
    "time_distributed": lambda: stack((3, 4), L.TimeDistributed(L.Dense(3))),
    "time_distributed_model": lambda: stack(
        (3, 8, 8, 1),
        L.TimeDistributed(
            stack((8, 8, 1), L.Conv2D(2, 3), L.BatchNormalization())
        ),
    ),
    "stateful": lambda: keras.Sequential(
        [keras.Input(batch_shape=(2, 6, 4)), L.LSTM(3, stateful=True)]
    ),
    "odd_name": lambda: stack((4,), L.Dense(2, name="my layer ($)")),
}
