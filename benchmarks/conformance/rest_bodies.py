"""Cases of REST about bodies: rows, columns, signatures, broken JSON."""

import json

from .cases import Case, Purpose, predict

ROWS = {"instances": [[1, 2, 3], [4, 5, 6.5]]}
NEWEST = {"predictions": [{"y": 6.0, "version": 2}, {"y": 15.5, "version": 2}]}
TWO = {"signature_name": "two"}
SHAPE = Purpose(
    400,
    "200; it computes with whatever shape it gets",
    "a row that lacks a number would get an answer that means nothing",
)
DEPTH = Purpose(
    400,
    "200; it reads them all",
    "no input of a model is so deep, and deep lists take a reader's stack",
)


def rows() -> list[Case]:
    """Returns the cases of `instances`."""
    named = {"instances": [{"x": [1, 2, 3]}, {"x": [4, 5, 6.5]}]}
    two = [{"number": 1, "text": "a"}, {"text": "b", "number": 2.5}]
    deep = "[" * 40 + "1" + "]" * 40
    return [
        predict("rows", ROWS, answer=NEWEST),
        predict("rows of named inputs", named, answer=NEWEST),
        predict("rows and other keys", {**ROWS, "more": 1}, answer=NEWEST),
        predict("rows of two inputs", {**TWO, "instances": two},
                answer={"predictions": [{"twice": 2.0, "upper": "A"},
                                        {"twice": 5.0, "upper": "B"}]}),
        predict("rows of one output",
                {"signature_name": "same_int64", "instances": [1, 2]},
                answer={"predictions": [1, 2]}),
        predict("rows too short", {"instances": [[1, 2]]}, purpose=SHAPE),
        predict("rows without their axis", {"instances": [1, 2, 3]}, 400),
        predict("rows of several lengths", {"instances": [[1, 2, 3], [4]]},
                400),
        predict("rows of several depths", {"instances": [[1, 2, 3], 4]}, 400),
        predict("rows, a list for a number",
                {"instances": [[1, 2, [3]]]}, 400),
        predict("rows, lists 40 deep",
                f'{{"signature_name": "same_float32", "instances": {deep}}}'
                .encode(), purpose=DEPTH),
        predict("no rows", {"instances": []}, 400),
        predict("rows are an object", {"instances": {}}, 400),
        predict("rows are a string", {"instances": "abc"}, 400),
        predict("rows are null", {"instances": None}, 400),
        predict("rows, named and plain",
                {"instances": [{"x": [1, 2, 3]}, [1, 2, 3]]}, 400),
        predict("rows, plain and named",
                {"instances": [[1, 2, 3], {"x": [1, 2, 3]}]}, 400),
        predict("rows of another input", {"instances": [{"z": [1, 2, 3]}]},
                400),
        predict("rows with an input too many",
                {"instances": [{"x": [1, 2, 3], "z": 1}]}, 400),
        predict("rows of two inputs, one missing",
                {**TWO, "instances": [{"number": 1}]}, 400),
        predict("rows of two inputs, one missing later",
                {**TWO, "instances": [two[0], {"text": "b"}]}, 400),
        predict("rows of two inputs, unnamed", {**TWO, "instances": [1]}, 400),
        predict("rows, but the output has none",
                {"signature_name": "whole", "instances": [1, 2]}, 400),
    ]  # fmt: skip


def columns() -> list[Case]:
    """Returns the cases of `inputs`."""
    values = [[1, 2, 3], [4, 5, 6.5]]
    newest = {"outputs": {"y": [6.0, 15.5], "version": [2, 2]}}
    two = {"number": [1, 2.5], "text": ["a", "b"]}
    twice = {"twice": [2.0, 5.0], "upper": ["A", "B"]}
    one = {"number": [1, 2], "text": ["a"]}
    return [
        predict("columns", {"inputs": {"x": values}}, answer=newest),
        predict("columns of one input, unnamed", {"inputs": values},
                answer=newest),
        predict("columns of two inputs", {**TWO, "inputs": two},
                answer={"outputs": twice}),
        predict("columns and an input too many",
                {**TWO, "inputs": {**two, "z": [1]}},
                answer={"outputs": twice}),
        predict("columns of several lengths", {**TWO, "inputs": one},
                answer={"outputs": {"twice": [2.0, 4.0], "upper": ["A"]}}),
        predict("columns of one output",
                {"signature_name": "same_int64", "inputs": {"x": [1, 2]}},
                answer={"outputs": [1, 2]}),
        predict("columns, an output without axes",
                {"signature_name": "whole", "inputs": [1, 2]},
                answer={"outputs": 3.0}),
        predict("columns too short", {"inputs": {"x": [[1, 2]]}},
                purpose=SHAPE),
        predict("columns of another input", {"inputs": {"z": values}}, 400,
                mentions="x"),
        predict("columns of two inputs, one missing",
                {**TWO, "inputs": {"number": [1]}}, 400, mentions="text"),
        predict("columns of two inputs, unnamed", {**TWO, "inputs": [1]}, 400),
        predict("columns of no input", {"inputs": {}}, 400, mentions="x"),
        predict("columns are ragged", {"inputs": {"x": [[1, 2, 3], [4]]}},
                400),
        predict("columns are a string", {"inputs": "abc"}, 400),
        predict("columns are null", {"inputs": None}, 400),
        predict("rows and columns", {**ROWS, "inputs": values}, 400),
        predict("neither rows nor columns", {}, 400),
        predict("examples", {"examples": [{"x": 1}]}, 400),
    ]  # fmt: skip


def signatures() -> list[Case]:
    """Returns the cases of `signature_name`."""
    return [
        predict("signature by name",
                {"signature_name": "serving_default", **ROWS}, answer=NEWEST),
        predict("signature is empty", {"signature_name": "", **ROWS},
                answer=NEWEST),
        predict("signature after the rows",
                {"instances": [1], "signature_name": "same_int64"},
                answer={"predictions": [1]}),
        predict("no such signature", {"signature_name": "nope", **ROWS}, 400,
                mentions="nope"),
        predict("signature of another case",
                {"signature_name": "Serving_Default", **ROWS}, 400),
        predict("signature of another version",
                {"signature_name": "same_int64", "instances": [1]}, 400,
                "/versions/1", mentions="same_int64"),
        predict("signature is a number", {"signature_name": 3, **ROWS}, 400),
        predict("signature is null", {"signature_name": None, **ROWS}, 400),
    ]  # fmt: skip


def broken() -> list[Case]:
    """Returns the cases of bodies that are no request."""
    rows = json.dumps(ROWS)
    bodies = {
        "nothing": b"",
        "blanks": b"  \r\n",
        "an open object": b"{",
        "a closed object": b"}",
        "an open list": b"[",
        "a list": b"[[1, 2, 3]]",
        "a number": b"1",
        "a string": b'"instances"',
        "null": b"null",
        "words": b"instances",
        "a form": b"instances=1",
        "XML": b"<instances/>",
        "cut short": rows[:-1].encode(),
        "single quotes": rows.replace('"', "'").encode(),
        "no quotes": rows.replace('"', "").encode(),
        "a comma too many in a list": b'{"instances": [[1, 2, 3,]]}',
        "a comma too many in an object": b'{"instances": [[1, 2, 3]],}',
        "a comma missing": b'{"instances": [[1 2 3]]}',
        "a colon missing": b'{"instances" [[1, 2, 3]]}',
        "a comment": rows.encode() + b"// rows",
        "two objects": rows.encode() * 2,
        "an object and a word": rows.encode() + b" x",
        "a byte order mark": b"\xef\xbb\xbf" + rows.encode(),
        "UTF-16": rows.encode("utf-16"),
        "a zero byte": b"\x00" + rows.encode(),
        "a line's end in a string": b'{"instances": ["a\nb"]}',
        "a zero first": b'{"instances": [[01, 2, 3]]}',
        "a plus": b'{"instances": [[+1, 2, 3]]}',
        "a point first": b'{"instances": [[.5, 2, 3]]}',
        "a point last": b'{"instances": [[1., 2, 3]]}',
        "a hexadecimal number": b'{"instances": [[0x1, 2, 3]]}',
        "True": b'{"instances": True}',
    }
    blank = b"\r\n\t " + rows.encode() + b" \n"
    return [
        *(predict(f"body: {name}", body, 400) for name, body in bodies.items()),
        predict("body: blanks around", blank, answer=NEWEST),
    ]
