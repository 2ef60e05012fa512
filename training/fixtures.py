"""Writes the small ONNX networks of the tests: test/fixtures/onnx. Needs the Python packages onnx and numpy.

    python3 training/fixtures.py
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto as T
from onnx import checker, helper, numpy_helper, save

SHAPE = (3, 8, 8)
OUT = Path(__file__).parent.parent / "test" / "fixtures" / "onnx"


def network(name, nodes, *, batch="batch", time=("batch",), time_type=T.FLOAT, classes=False, names=("sample", "timestep"), output=SHAPE, constants=()):
    inputs = [
        helper.make_tensor_value_info(names[0], T.FLOAT, [batch, *SHAPE]),
        helper.make_tensor_value_info(names[1], time_type, list(time)),
    ]
    if classes:
        inputs.append(helper.make_tensor_value_info("class_labels", T.INT64, ["batch"]))
    outputs = [helper.make_tensor_value_info("out_sample", T.FLOAT, [batch, *output])]
    weights = [
        numpy_helper.from_array(np.array([-1, 1, 1, 1], np.int64), "column"),
        numpy_helper.from_array(np.array([0.001], np.float32), "unit"),
        numpy_helper.from_array(np.array([0.1], np.float32), "tenth"),
        *constants,
    ]
    graph = helper.make_graph(nodes, name, inputs, outputs, initializer=weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    save(model, OUT / f"{name}.onnx")


def features():
    """Of each image the mean of every colour (features), and 10 times that (logits)."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["features"], axes=[2, 3], keepdims=0),
        helper.make_node("Mul", ["features", "ten"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "features",
        [helper.make_tensor_value_info("image", T.FLOAT, ["batch", 3, 4, 4])],
        [helper.make_tensor_value_info(name, T.FLOAT, ["batch", 3]) for name in ("logits", "features")],
        initializer=[numpy_helper.from_array(np.array([10], np.float32), "ten")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    save(model, OUT / "features.onnx")


def velocity(sample="sample", time="timestep"):
    """v = tanh(x) + t / 1000, something nonlinear with every row on its own."""
    return [
        helper.make_node("Tanh", [sample], ["bent"]),
        helper.make_node("Mul", [time, "unit"], ["t"]),
        helper.make_node("Reshape", ["t", "column"], ["t_column"]),
        helper.make_node("Add", ["bent", "t_column"], ["plain"]),
    ]


def end(value):
    return helper.make_node("Identity", [value], ["out_sample"])


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    network("plain", [*velocity(), end("plain")])
    features()
    shift = [
        helper.make_node("Cast", ["class_labels"], ["label"], to=T.FLOAT),
        helper.make_node("Mul", ["label", "tenth"], ["shift"]),
        helper.make_node("Reshape", ["shift", "column"], ["shift_column"]),
        helper.make_node("Add", ["plain", "shift_column"], ["out_sample"]),
    ]
    network("classes", [*velocity(), *shift], classes=True)
    integer = [helper.make_node("Cast", ["timestep"], ["real"], to=T.FLOAT), *velocity(time="real"), end("plain")]
    network("integer-time", integer, time_type=T.INT64)
    network("scalar-time", [*velocity(), end("plain")], time=())
    network("other-names", [*velocity("input", "when"), end("plain")], names=("input", "when"))
    network("inpainting", [*velocity(), helper.make_node("Slice", ["plain", "zeroth", "second", "channel"], ["out_sample"])], output=(2, 8, 8), constants=[numpy_helper.from_array(np.array([i], np.int64), n) for i, n in ((0, "zeroth"), (2, "second"), (1, "channel"))])
    nothing = numpy_helper.from_array(np.array([np.nan], np.float32), "nothing")
    network("nan", [*velocity(), helper.make_node("Add", ["plain", "nothing"], ["out_sample"])], constants=[nothing])
    network("fixed-batch", [*velocity(), end("plain")], batch=1, time=("batch",))
    doubled = helper.make_node("Concat", ["plain", "plain"], ["out_sample"], axis=1)
    network("learned-variance", [*velocity(), doubled], output=(6, 8, 8))
    # A width that only running tells: four columns, computed from the times.
    four = numpy_helper.from_array(np.array([4], np.float32), "four")
    zero = numpy_helper.from_array(np.array([0], np.float32), "zero")
    first = numpy_helper.from_array(np.array([0], np.int64), "first")
    last_axis = numpy_helper.from_array(np.array([3], np.int64), "last_axis")
    cut = [
        helper.make_node("ReduceMax", ["timestep"], ["latest"], keepdims=1),
        helper.make_node("Mul", ["latest", "zero"], ["none"]),
        helper.make_node("Add", ["none", "four"], ["width"]),
        helper.make_node("Cast", ["width"], ["end"], to=T.INT64),
        helper.make_node("Slice", ["plain", "first", "end", "last_axis"], ["out_sample"]),
    ]
    network("undeclared-output", [*velocity(), *cut], output=(3, 8, "w"), constants=[four, zero, first, last_axis])


if __name__ == "__main__":
    main()
