"""Translates the configuration of one Keras 3 layer for tf_keras."""

import inspect
from typing import Any

import tf_keras

from . import registry, twin_layers

# Arguments of Keras 3 constructors without an effect at inference.
_IGNORED = frozenset(
    {
        "batch_input_shape",
        "flash_attention",
        "quantization_config",
        "seed",
        "use_cudnn",
        "value_range",
    }
)
_BASE = frozenset({"name", "trainable", "dtype", "activity_regularizer"})


def rebuild(layer: Any, cls: Any = None, /, **changes: Any) -> Any:
    """Returns a tf_keras layer of the same class and configuration.

    Args:
        layer: The Keras 3 layer.
        cls: The tf_keras class; by default the class of the same name.
        **changes: Values that replace constructor arguments; None leaves the
            argument out.

    Returns:
        The tf_keras layer, not yet built.

    Raises:
        UnsupportedLayerError: If an argument has no equal in tf_keras.
    """
    refuse_adapters(layer)
    cls = cls or getattr(tf_keras.layers, type(layer).__name__)
    config = {**layer.get_config(), **changes}
    known = parameters(cls) | _BASE
    if issubclass(cls, tf_keras.layers.RNN):
        known |= {"zero_output_for_mask"}  # It is in no signature.
    kwargs = {}
    for key, value in config.items():
        if key in changes and value is None:
            continue
        if key.endswith("_initializer"):
            if key in known:  # Weights are copied: no random ones are drawn.
                kwargs[key] = "zeros"
        elif key in known:
            kwargs[key] = value if key in changes else _value(layer, key, value)
        elif key not in _IGNORED and key not in changes:
            _refuse_unless_default(layer, key, value)
    kwargs["name"] = registry.twin_name(layer.name)
    return cls(**kwargs)


def parameters(cls: Any) -> set[str]:
    """Returns the names of a constructor's arguments.

    If it takes `**kwargs`, those of the base classes' constructors count too.
    """
    names: set[str] = set()
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        arguments = inspect.signature(vars(base)["__init__"]).parameters
        names |= set(arguments)
        if not any(p.kind is p.VAR_KEYWORD for p in arguments.values()):
            break
    return names - {"self", "args", "kwargs"}


def dtype_of(layer: Any) -> str:
    """Returns the dtype for the twin of a layer; mixed policies become float32.

    The weights of mixed policies are float32 already, and neither TF-MOT nor
    TFLite computes in half precision.
    """
    name = layer.dtype_policy.name
    return layer.dtype_policy.variable_dtype if "mixed" in name else name


def refuse_adapters(layer: Any) -> None:
    """Raises `UnsupportedLayerError` for quantized layers and LoRA weights."""
    if getattr(layer, "lora_enabled", False):
        raise registry.UnsupportedLayerError(
            "has LoRA weights; merge them into the kernel first"
        )
    if getattr(layer, "quantization_mode", None):
        raise registry.UnsupportedLayerError(
            "is quantized by Keras 3; convert the float model"
        )


def activation_of(layer: Any, key: str = "activation") -> Any:
    """Returns the tf_keras activation that equals that of a Keras 3 layer.

    Args:
        layer: The Keras 3 layer.
        key: The layer's attribute that holds the activation.
    """
    return twin_layers.activation(getattr(layer, key))


def _value(layer: Any, key: str, value: Any) -> Any:
    """Translates one constructor argument."""
    if key == "dtype":
        return dtype_of(layer)
    if key in ("activation", "recurrent_activation"):
        return activation_of(layer, key)
    if key == "seed" and not isinstance(value, int):
        return None
    if isinstance(value, dict) and "class_name" in value:
        return _object(key, value)
    return value


def _object(key: str, value: dict[str, Any]) -> Any:
    """Rebuilds a regularizer or a constraint in the tf_keras namespace."""
    package = (
        tf_keras.constraints
        if key.endswith("constraint")
        else tf_keras.regularizers
    )
    name = value["class_name"]
    if value.get("registered_name") or not hasattr(package, name):
        raise registry.UnsupportedLayerError(
            f"has {key} {name}, unknown to tf_keras; use a stock one or none"
        )
    return getattr(package, name)(**value["config"])


def _refuse_unless_default(layer: Any, key: str, value: Any) -> None:
    """Raises if an argument that tf_keras lacks is not at its default."""
    default = None
    for base in type(layer).__mro__:
        if "__init__" in vars(base):
            arguments = inspect.signature(vars(base)["__init__"]).parameters
            if key in arguments:
                default = arguments[key].default
                break
    if value in (None, False, default) or value == "channels_last":
        return
    raise registry.UnsupportedLayerError(
        f"has {key}={value!r}, which tf_keras lacks; leave it at its default"
    )
