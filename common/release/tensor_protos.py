"""Arrays as gRPC's `TensorProto`, both ways."""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

MOST_ELEMENTS = 1 << 26


def proto(value: np.ndarray) -> tensor_pb2.TensorProto:
    """Returns an array as a message.

    The message is that of `tf.make_tensor_proto`, whose search for the right
    type takes longer than a small model.

    Args:
        value: Numbers or truth values, or an object array of bytes.
    """
    message = tensor_pb2.TensorProto()
    for size in value.shape:
        message.tensor_shape.dim.add(size=size)
    if value.dtype.kind == "O":
        message.dtype = types_pb2.DT_STRING
        message.string_val.extend(value.ravel().tolist())
    else:
        message.dtype = tf.as_dtype(value.dtype).as_datatype_enum
        message.tensor_content = value.tobytes()
    return message


def array(value: tensor_pb2.TensorProto) -> np.ndarray:
    """Returns a message as an array.

    Raises:
        ValueError: If the message is no valid tensor, or stands for a huge
            one: a few bytes may say that a single value is repeated.
    """
    size = math.prod(dim.size for dim in value.tensor_shape.dim)
    if not 0 <= size <= MOST_ELEMENTS:
        raise ValueError(f"it has {size} elements")
    try:
        return tf.make_ndarray(value)
    except (TypeError, KeyError) as error:
        raise ValueError(str(error)) from None
