"""The graphs of a TFLite file, read, added to and written."""

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

FLOAT32 = schema.TensorType.FLOAT32
TYPES: dict[np.dtype[Any], int] = {
    np.dtype(np.float32): FLOAT32,
    np.dtype(np.float16): schema.TensorType.FLOAT16,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.bool_): schema.TensorType.BOOL,
}


def read(content: bytes) -> Any:
    """Returns a file of these bytes as `schema.ModelT`."""
    return schema.ModelT.InitFromPackedBuf(content, 0)


def write(model: Any) -> bytes:
    """Returns the bytes of a file."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


class Graph:
    """A graph to which tensors and operators are added.

    Attributes:
        model: The file, as `schema.ModelT`.
        subgraph: The graph, as `schema.SubGraphT`.
        operators: The operators that were added, in their order. They are not
            yet in the graph: the caller decides on their place.
    """

    def __init__(self, model: Any, subgraph: Any) -> None:
        self.model = model
        self.subgraph = subgraph
        self.operators: list[Any] = []
        self._buffers: dict[bytes, int] = {}

    def new_graph(self, name: str) -> "Graph":
        """Adds a graph to the file; both share the buffers of constants."""
        subgraph = schema.SubGraphT()
        subgraph.name = name.encode()
        subgraph.tensors = []
        self.model.subgraphs.append(subgraph)
        graph = Graph(self.model, subgraph)
        graph._buffers = self._buffers
        return graph

    def tensor(
        self, shape: Sequence[int], dtype: Any = np.float32, buffer: int = 0
    ) -> int:
        """Adds a tensor and returns its index.

        Args:
            shape: The sizes of its axes.
            dtype: A dtype of `TYPES`.
            buffer: The index of the buffer of its values; 0 for none.
        """
        tensor = schema.TensorT()
        tensor.name = f"recurrence_{len(self.subgraph.tensors)}".encode()
        tensor.shape = np.asarray(shape, np.int32)
        tensor.type = TYPES[np.dtype(dtype)]
        tensor.buffer = buffer
        self.subgraph.tensors.append(tensor)
        return len(self.subgraph.tensors) - 1

    def constant(self, values: Any, scales: Any = None) -> int:
        """Adds a constant tensor and returns its index.

        Args:
            values: An array of a dtype of `TYPES`.
            scales: For int8, the scale of each row, or one for all.
        """
        values = np.asarray(values)
        content = values.tobytes()
        if content not in self._buffers:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(content, np.uint8)
            self._buffers[content] = len(self.model.buffers)
            self.model.buffers.append(buffer)
        index = self.tensor(values.shape, values.dtype, self._buffers[content])
        if scales is not None:
            quantization = schema.QuantizationParametersT()
            quantization.scale = np.asarray(scales, np.float32)
            quantization.zeroPoint = np.zeros(len(scales), np.int64)
            self.subgraph.tensors[index].quantization = quantization
        return index

    def ints(self, *values: int) -> int:
        """Adds a constant tensor of int32 values, `(num,)`."""
        return self.constant(np.array(values, np.int32))

    def add(
        self,
        name: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        options: str = "",
        **values: Any,
    ) -> int:
        """Adds an operator and its only output; see `add_to`.

        Args:
            name: See `add_to`.
            inputs: See `add_to`.
            shape: The output's shape; it is float32.
            options: See `add_to`.
            **values: See `add_to`.

        Returns:
            The index of the output.
        """
        output = self.tensor(shape)
        self.add_to([output], name, inputs, options, **values)
        return output

    def add_to(
        self,
        outputs: Sequence[int],
        name: str,
        inputs: Sequence[int],
        options: str = "",
        version: int = 1,
        **values: Any,
    ) -> None:
        """Adds an operator.

        Args:
            outputs: The indices of its outputs.
            name: Its name in the schema, such as `FULLY_CONNECTED`.
            inputs: The indices of its inputs; -1 for each that is left out.
            options: The name of its options in the schema; "" for none.
            version: The operator's version.
            **values: The options that are not as by default.
        """
        operator = schema.OperatorT()
        operator.opcodeIndex = self.code(name, version)
        operator.inputs = np.asarray(inputs, np.int32)
        operator.outputs = np.asarray(outputs, np.int32)
        if options:
            kinds = schema.BuiltinOptions
            operator.builtinOptionsType = getattr(kinds, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for key, value in values.items():
                setattr(operator.builtinOptions, key, value)
        self.operators.append(operator)

    def finish(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Completes a graph of `new_graph` with what was added to it."""
        self.subgraph.inputs = np.asarray(inputs, np.int32)
        self.subgraph.outputs = np.asarray(outputs, np.int32)
        self.subgraph.operators = self.operators

    def code(self, name: str, version: int) -> int:
        """Returns the index of an operator's code; adds it if it is missing."""
        number = getattr(schema.BuiltinOperator, name)
        codes = self.model.operatorCodes
        for index, code in enumerate(codes):
            known = max(code.builtinCode, code.deprecatedBuiltinCode)
            if (known, code.version) == (number, version):
                return index
        code = schema.OperatorCodeT()
        code.builtinCode = number
        code.deprecatedBuiltinCode = min(number, 127)
        code.version = version
        codes.append(code)
        return len(codes) - 1


def remove_unused(model: Any) -> None:
    """Removes what a file no longer needs, so that it takes no space.

    Removed are DEQUANTIZE operators of the main graph whose output nobody
    reads, its unused tensors, and unused values and operator codes.
    """
    main = model.subgraphs[0]
    read = {int(index) for op in main.operators for index in op.inputs}
    read |= {int(index) for index in main.outputs}
    dequantize = schema.BuiltinOperator.DEQUANTIZE
    main.operators = [
        op
        for op in main.operators
        if model.operatorCodes[op.opcodeIndex].builtinCode != dequantize
        or int(op.outputs[0]) in read
    ]
    _remove_tensors(model, main)
    kept = {t.buffer for graph in model.subgraphs for t in graph.tensors}
    kept |= {metadata.buffer for metadata in model.metadata or ()}
    for index, buffer in enumerate(model.buffers):
        if index not in kept:
            buffer.data = None
    operators = [op for graph in model.subgraphs for op in graph.operators]
    used = sorted({op.opcodeIndex for op in operators})
    model.operatorCodes = [model.operatorCodes[index] for index in used]
    for op in operators:
        op.opcodeIndex = used.index(op.opcodeIndex)


def _remove_tensors(model: Any, main: Any) -> None:
    """Removes the tensors of the main graph that no operator has."""
    used = {int(index) for index in (*main.inputs, *main.outputs)}
    for op in main.operators:
        parts = (op.inputs, op.outputs, op.intermediates)
        used |= {int(i) for part in parts if part is not None for i in part}
    places = {old: new for new, old in enumerate(sorted(used - {-1}))}
    main.tensors = [main.tensors[old] for old in places]
    places[-1] = -1

    def moved(indices: Any) -> Any:
        return np.array([places[int(index)] for index in indices], np.int32)

    main.inputs, main.outputs = moved(main.inputs), moved(main.outputs)
    for op in main.operators:
        op.inputs, op.outputs = moved(op.inputs), moved(op.outputs)
        if op.intermediates is not None:
            op.intermediates = moved(op.intermediates)
    for signature in model.signatureDefs or ():
        if signature.subgraphIndex == 0:
            for named in (*signature.inputs, *signature.outputs):
                named.tensorIndex = places[named.tensorIndex]
