"""Cases of REST about values: numbers and their limits, strings, bytes."""

import math

from .cases import Case, Purpose, predict, same

RANGE = Purpose(
    400,
    "200; it keeps the lowest bits, so that 256 becomes 0 for uint8",
    "a whole number that does not fit its input would become another number",
)
UTF8 = Purpose(
    400,
    "200; it passes the bytes on",
    "JSON is UTF-8 by its own rules, and bytes can be sent as b64",
)


def numbers() -> list[Case]:
    """Returns the cases of numbers and truth values."""
    taken = {
        "float32": ("0", "1", "1.5", "-2.5", "1e10", "3.4e38", "NaN",
                    "Infinity", "-Infinity"),
        "float64": ("0.1", "1.7976931348623157e308", "9007199254740992", "NaN"),
        "int8": ("127", "-128"),
        "uint8": ("0", "255"),
        "int16": ("32767", "-32768"),
        "int32": ("2147483647", "-2147483648"),
        "int64": ("9223372036854775807", "-9223372036854775808",
                  "9007199254740993"),
        "uint32": ("4294967295",),
        "uint64": ("18446744073709551615",),
        "bool": ("true", "false"),
    }  # fmt: skip
    refused = {
        "float32": ("1e400", '"1"', "true", "null", "{}", '{"b64": "MQ=="}'),
        "float64": ("-1e400", '"NaN"', "false"),
        "int8": ("1.5", "1.0", "true", '"1"'),
        "uint8": ("4294967296", "1e2"),
        "int32": ("2147483648", "-2147483649", "1.0", "null", "NaN"),
        "int64": ("9223372036854775808", "1e3", "Infinity", '"7"'),
        "uint32": ("4294967296", "-1"),
        "uint64": ("18446744073709551616", "-1", "0.5"),
        "bool": ("1", "0", '"true"', "null"),
    }
    beyond = {
        "int8": ("128", "-129"),
        "uint8": ("256", "-1"),
        "int16": ("32768",),
    }
    cases = [
        same(dtype, text, back=_number(dtype, text))
        for dtype, texts in taken.items()
        for text in texts
    ]
    cases += [
        same(dtype, text, 400)
        for dtype, texts in refused.items()
        for text in texts
    ]
    cases += [
        same(dtype, text, purpose=RANGE)
        for dtype, texts in beyond.items()
        for text in texts
    ]
    rounded = [
        ("float32", "16777217", 16777216.0),
        ("float32", "1700000001", 1.7e9),
        ("float32", "1e39", math.inf),
        ("float32", "-1e39", -math.inf),
        ("float32", "1e-400", 0.0),
        ("float64", "9007199254740993", 9007199254740992.0),
    ]
    return cases + [
        same(dtype, text, back=value) for dtype, text, value in rounded
    ]


def _number(dtype: str, text: str) -> bool | int | float:
    """Returns a number of JSON as the type writes it."""
    if dtype == "bool":
        return text == "true"
    return float(text) if dtype.startswith("float") else int(text)


def strings() -> list[Case]:
    """Returns the cases of strings and bytes."""
    taken = {
        '"a"': "a",
        '""': "",
        r'"\u00e9"': "é",
        r'"\ud83d\ude00"': "\U0001f600",
        r'"\"\\\/\b\f\n\r\t"': '"\\/\b\f\n\r\t',
        '{"b64": "YQ=="}': "a",
        '{"b64": "YQ"}': "a",
        '{"b64": ""}': "",
        '"YQ=="': "YQ==",
    }
    refused = (
        "1", "1.5", "true", "null", "{}", '{"b64": 1}', '{"b64": null}',
        '{"b64": "?"}', '{"b64": "Y"}', '{"b65": "YQ=="}',
        '{"b64": "YQ==", "more": 1}', r'"\ud800"', r'"\x41"',
    )  # fmt: skip
    cases = [same("string", text, back=back) for text, back in taken.items()]
    cases += [same("string", text, 400) for text in refused]
    bad = b'{"signature_name": "same_string", "inputs": ["\xff"]}'
    texts = [["a", "b"], ["é", ""]]
    single = {"signature_name": "single"}
    sent = {"b64": "/wA="}
    return [
        *cases,
        predict(
            "string in UTF-8",
            '{"signature_name": "same_string", "inputs": ["é"]}'.encode(),
            answer={"outputs": ["é"]},
        ),
        predict("string not in UTF-8", bad, purpose=UTF8),
        predict(
            "a table of strings",
            {"signature_name": "texts", "instances": texts},
            answer={"predictions": ["ab", "é"]},
        ),
        predict(
            "a string without axes",
            {**single, "inputs": {"text": "a"}},
            answer={"outputs": "a"},
        ),
        predict(
            "bytes without axes",
            {**single, "inputs": {"text": {"b64": "YQ=="}}},
            answer={"outputs": "a"},
        ),
        predict(
            "bytes without axes, input unnamed",
            {**single, "inputs": {"b64": "YQ=="}},
            answer={"outputs": "a"},
        ),
        predict(
            "bytes in rows, and back by the output's name",
            {"signature_name": "bytes", "instances": [sent, {"b64": ""}]},
            answer={
                "predictions": [
                    {"same_bytes": sent, "length": 2},
                    {"same_bytes": {"b64": ""}, "length": 0},
                ]
            },
        ),
        predict(
            "bytes in columns, and back by the output's name",
            {"signature_name": "bytes", "inputs": {"text": [sent]}},
            answer={"outputs": {"same_bytes": [sent], "length": [2]}},
        ),
        predict(
            "numbers that JSON lacks",
            {"signature_name": "inverse", "instances": [0, 2.0, -0.5]},
            answer={"predictions": [math.inf, 0.5, -2.0]},
        ),
    ]
