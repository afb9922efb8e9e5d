"""Arrays as gRPC's `TensorProto`, both ways."""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

MOST_ELEMENTS = 1 << 26


# The fields of single values, by NumPy's names of the types that they hold.
FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "bool": "bool_val",
    "int64": "int64_val",
    "uint64": "uint64_val",
    "uint32": "uint32_val",
    **dict.fromkeys(("int8", "int16", "int32", "uint8", "uint16"), "int_val"),
}


def proto(value: np.ndarray, as_bytes: bool = True) -> tensor_pb2.TensorProto:
    """Returns an array as a message.

    The message is that of `tf.make_tensor_proto`, whose search for the right
    type takes longer than a small model.

    Args:
        value: Numbers or truth values, or an object array of bytes.
        as_bytes: Whether numbers are sent as bytes, which is faster, or as
            single values, which clients read without TensorFlow, such as
            `outputs["y"].float_val`. TF Serving answers so.
    """
    message = tensor_pb2.TensorProto()
    for size in value.shape:
        message.tensor_shape.dim.add(size=size)
    if value.dtype.kind == "O":
        message.dtype = types_pb2.DT_STRING
        message.string_val.extend(value.ravel().tolist())
        return message
    message.dtype = tf.as_dtype(value.dtype).as_datatype_enum
    field = FIELDS.get(value.dtype.name)
    if as_bytes or field is None:
        message.tensor_content = value.tobytes()
    else:
        getattr(message, field).extend(value.ravel().tolist())
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
