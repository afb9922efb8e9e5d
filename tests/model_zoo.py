"""Small models of the kinds that people bring, and what each can become.

Every builder takes well under a second. `ZOO` says for each model which
techniques it takes; where a technique is refused, it gives words of the reason.
"""

import dataclasses
from collections.abc import Callable

import keras
import zoo_networks as networks
import zoo_sequences as sequences


@dataclasses.dataclass(frozen=True)
class Entry:
    """What can be made of a model; a refusal is words of its reason.

    Attributes:
        model: Why `apps.compress` refuses the model; "" if it takes it.
        qat: Why the model takes no quantization-aware training.
    """

    model: str = ""
    qat: str = ""


YES = Entry()
INTEGERS = Entry(qat="takes only models with floating-point inputs")


def no_qat(kind: str) -> Entry:
    """Returns the entry of a model with a layer that QAT cannot take."""
    return Entry(qat=rf"TF-MOT cannot quantize \S+ \({kind}\)")


ZOO: dict[Callable[[], keras.Model], Entry] = {
    networks.lenet: YES,
    networks.conv_relu_bn: YES,
    networks.residual: YES,
    networks.inception: YES,
    networks.separable: YES,
    networks.inverted_residual: YES,
    networks.squeeze_excite: YES,
    networks.transfer: YES,
    networks.nested_sequential: YES,
    networks.nested_twice: YES,
    networks.two_backbones: YES,
    networks.unet: YES,
    networks.denoiser: YES,
    networks.vae_decoder: YES,
    networks.gan_generator: YES,
    networks.gan_discriminator: YES,
    networks.super_resolution: YES,
    networks.mixed_precision: YES,
    networks.augmented: YES,
    networks.fixed_batch: YES,
    networks.siamese: YES,
    networks.mlp_mixer: YES,
    networks.vit: no_qat("MultiHeadAttention"),
    networks.mlp: YES,
    networks.seven_inputs: INTEGERS,
    networks.two_towers: INTEGERS,
    networks.wide_and_deep: YES,
    networks.factorization_machine: INTEGERS,
    networks.cross_network: YES,
    networks.gated: YES,
    networks.categories: INTEGERS,
    networks.one_in_a_dict: YES,
    networks.outputs_in_a_dict: YES,
    networks.outputs_in_a_list: YES,
    networks.with_middle_output: YES,
    networks.vae_encoder: YES,
    sequences.conv1d: YES,
    sequences.conv1d_bn: YES,
    sequences.conv1d_unet: YES,
    sequences.dilated: YES,
    sequences.separable1d: YES,
    sequences.lstm: no_qat("LSTM"),
    sequences.stacked_lstm: no_qat("LSTM"),
    sequences.gru: no_qat("GRU"),
    sequences.stateful_lstm: no_qat("LSTM"),
    sequences.lstm_attention: no_qat("LSTM"),
    sequences.attention_layer: no_qat("LSTM"),
    sequences.encoder_decoder: no_qat("LSTM"),
    sequences.video: no_qat("TimeDistributed"),
    sequences.conv_lstm: no_qat("ConvLSTM2D"),
    sequences.conv3d: no_qat("Conv3D"),
    sequences.bidirectional: INTEGERS,
    sequences.masked_lstm: INTEGERS,
    sequences.bag_of_words: INTEGERS,
    sequences.text_cnn: INTEGERS,
    sequences.transformer: INTEGERS,
    sequences.causal_transformer: INTEGERS,
    sequences.text: INTEGERS,
    sequences.text_counts: YES,
    sequences.string_lookup: INTEGERS,
    sequences.integer_lookup: YES,
    sequences.nested_lookup: INTEGERS,
    sequences.hashing: INTEGERS,
    sequences.class_names: Entry("TFLite cannot take it"),
    sequences.own_vit: no_qat("CustomLayer"),
    sequences.own_weights: YES,
    sequences.subclassed: Entry("holds a subclassed model"),
    sequences.with_lambda: Entry("has a Lambda layer"),
}

# Those of which the default tests try every technique.
PICKED = (
    networks.conv_relu_bn,
    networks.gated,
    networks.two_backbones,
    networks.siamese,
    networks.outputs_in_a_list,
    sequences.conv1d_bn,
    sequences.separable1d,
)
