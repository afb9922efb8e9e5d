"""A table's own columns: kinds, gaps, codes, names, and their graph."""

import dataclasses
import datetime

import keras
import numpy as np
import openpyxl
import pyarrow as pa
import pytest
import tensorflow as tf
from pyarrow import parquet

from apps.fraud_detect import encoding, own_cells, own_columns, transactions
from apps.fraud_detect.inputs import Inputs
from apps.fraud_detect.own_columns import Column
from apps.fraud_detect.settings import Columns, DataOptions
from common.options import InputError

NAN = float("nan")


def read(cells: list, kind: str = ""):
    """Returns the column, its numbers and the notes."""
    (column,), values, notes = own_cells.read(
        pa.table({"x": cells}), [Column("x", kind)]
    )
    return column, values[:, 0], notes


@pytest.mark.parametrize(
    ("cells", "kind", "numbers"),
    [
        ([1, 2, None], "number", [1, 2, NAN]),
        ([1.5, float("inf"), 2.0], "number", [1.5, NAN, 2]),
        ([True, False, None], "number", [1, 0, NAN]),
        (["1", " 2 ", ""], "number", [1, 2, NAN]),
        (["$1,234.50", "$2", "n/a"], "number", [1234.5, 2, NAN]),
        (["1.234,50", "2,5", "?"], "number", [1234.5, 2.5, NAN]),
        (["1970-01-02", "", "1970-01-01 12:00"], "time", [24, NAN, 12]),
        (["02.01.1970", "NA", "03.01.1970"], "time", [24, NAN, 48]),
        (["b", "a", ""], "category", [3, 2, 0]),
        ([" b", "b", "None"], "category", [2, 2, 0]),
        ([None, None], "number", [NAN, NAN]),
        (["", "nan"], "number", [NAN, NAN]),
        ([1e300, 2.0], "number", [NAN, 2]),
        (["2018-07-01T13:05:00Z"] * 2, "time", [425_125 + 1 / 12] * 2),
        (["13:30", "", "7:15:00"], "time", [13.5, NAN, 7.25]),
        (["1:30 PM", "12:15 am"], "time", [13.5, 0.25]),
        ([datetime.time(13, 30), None], "time", [13.5, NAN]),
        # Minutes and seconds of a duration are no times of day.
        (["45:10", "99:59"], "category", [2, 3]),
        # One odd cell does not make a number or a date of a text.
        (["under 1000", "medium", "1,000"], "category", [4, 3, 2]),
        (["a", "b", "01/02/2020"], "category", [3, 4, 2]),
    ],
    ids=str,
)
def test_cells_tell_the_kind_of_a_column(cells, kind, numbers) -> None:
    column, values, _ = read(cells)
    assert column.kind == kind
    np.testing.assert_array_equal(values, numbers)


def test_a_few_cells_that_are_no_numbers_are_gaps_and_said() -> None:
    column, values, notes = read(["1"] * 19 + ["unknown"])
    assert column.kind == "number" and np.isnan(values[-1])
    assert "1 cells of x are no number" in notes[0] and "unknown" in notes[0]
    assert "x 1" in notes[1]


def test_timestamps_are_times_and_codes_can_be_categories() -> None:
    moments = pa.array([3_600, None], pa.timestamp("s"))
    column, values, _ = read(moments)
    assert column.kind == "time"
    np.testing.assert_array_equal(values, [1, NAN])
    column, values, _ = read([7, 5, 7], "category")
    assert column.values == ("5", "7") and values.tolist() == [3, 2, 3]
    # A gap makes a Parquet column one of fractions.
    assert read([7.0, 5.0, None], "category")[0].values == ("5", "7")


def test_a_date_of_two_readings_is_refused() -> None:
    with pytest.raises(InputError, match=r"one reading.*pass --date_order"):
        read(["3/4/2018", "5/6/2018"])
    with pytest.raises(InputError, match=r"one reading.*pass --decimal_mark"):
        read(["1,234", "5,678"])


@pytest.mark.parametrize(
    ("option", "cell", "number"),
    [
        ({"date_order": "day_first"}, "2/1/1970", 24),
        ({"date_order": "month_first"}, "1/2/1970", 24),
        ({"decimal_mark": "point"}, "1,234", 1234),
        ({"decimal_mark": "comma"}, "1,234", 1.234),
        ({"decimal_mark": "comma"}, "1,5e3", 1500),
        ({"decimal_mark": "point"}, "1,234E3", 1_234_000),
        # What a cell surely says goes before the option.
        ({"decimal_mark": "comma"}, "1,234.5", 1234.5),
        ({"decimal_mark": "point"}, "1.234,5", 1234.5),
        ({"date_order": "month_first"}, "13/1/1970", 12 * 24),
    ],
    ids=str,
)
def test_an_option_tells_which_reading_is_meant(option, cell, number) -> None:
    table_format = DataOptions(**option).table_format
    kind = "time" if "date_order" in option else "number"
    _, values, _ = own_cells.read(
        pa.table({"x": [cell]}), [Column("x", kind)], table_format
    )
    np.testing.assert_array_equal(values, [[number]])


def test_a_new_file_is_read_as_the_data_of_training_were() -> None:
    """Its own cells would not tell a thousand or the first of a day."""
    column, _, _ = read(["1.234,50", "2,5"])
    assert column.form == own_columns.DECIMAL_COMMA
    assert own_columns.as_written([column]) == ["x"]
    (_,), values, _ = own_cells.read(pa.table({"x": ["1.234"]}), [column])
    assert values.tolist() == [[1234.0]]
    column, _, _ = read(["1,234.50", "2"])
    (_,), values, _ = own_cells.read(pa.table({"x": ["1,234"]}), [column])
    assert values.tolist() == [[1234.0]]
    column, _, _ = read(["25/07/2018", "3/4/2018"])
    (_,), values, _ = own_cells.read(pa.table({"x": ["3/4/2018"]}), [column])
    day = np.datetime64("2018-04-03", "h").astype(int)
    assert column.form == own_columns.DAY_FIRST and values[0, 0] == day


def test_a_given_option_goes_before_the_form_of_training() -> None:
    columns = [Column(form, "number", form=form) for form in own_columns.FORMS]
    comma, point = own_columns.FORMS_OF["decimal_mark"]
    kept = own_columns.without_forms(columns, [comma, point])
    assert [column.form for column in kept if column.form] == [
        own_columns.DAY_FIRST, own_columns.MONTH_FIRST,
    ]  # fmt: skip
    assert [column.name for column in kept] == list(own_columns.FORMS)


def test_the_form_of_times_and_amounts_is_no_other_columns(tmp_path) -> None:
    """It tells only what their own cells leave open."""
    path = tmp_path / "mixed.csv"
    path.write_text(
        "day;paid;american;english;open\n"
        "25.07.2018;12,5;1/13/1970;1,234.50;2/1/1970\n"
        "26.07.2018;7,5;1/14/1970;2,000;3/1/1970\n"
    )
    columns = Columns("day", "", "", "paid", "", "")
    own = [Column("american"), Column("english"), Column("open")]
    table = transactions.read(path, columns, False, own=own).transactions
    assert table.own.tolist() == [[288, 1234.5, 24], [312, 2000, 48]]


@pytest.mark.parametrize("suffix", [".xlsx", ".parquet"])
def test_numbers_that_are_no_texts_have_no_form(tmp_path, suffix) -> None:
    """A fraction of a workbook's was read as thousands."""
    path = tmp_path / f"new{suffix}"
    numbers = [1.234, 12.5]
    if suffix == ".xlsx":
        book = openpyxl.Workbook()
        for row in [
            ("paid", "fee", "day"),
            *((x, x, "2018-07-01") for x in numbers),
        ]:
            book.active.append(row)
        book.save(path)
    else:
        parquet.write_table(
            pa.table(
                {"paid": numbers, "fee": numbers, "day": ["2018-07-01"] * 2}
            ),
            path,
        )
    form = DataOptions(decimal_mark="comma").table_format
    columns = Columns("day", "", "", "paid", "", "", table_format=form)
    own = [Column("fee", "number", form=own_columns.DECIMAL_COMMA)]
    table = transactions.read(path, columns, False, own=own).transactions
    assert table.amount.tolist() == numbers
    assert table.own[:, 0].tolist() == numbers


def test_a_column_of_small_numbers_fills_its_bins() -> None:
    raw = np.linspace(0, 1e-4, 101, dtype="f4")[:, None]
    quantities = encoding.Quantities(("rate",), raw)
    inputs = keras.Input((1,))
    codes = keras.Model(inputs, encoding.codes(inputs, quantities, raw, 8))(raw)
    assert np.min(np.max(codes, axis=0)) > 0.99
    standard = encoding.standardize(inputs, raw)
    assert np.std(keras.Model(inputs, standard)(raw)) == pytest.approx(1, 0.01)


def test_rare_and_new_categories_share_a_code() -> None:
    cells = ["a"] * 6 + ["b"] * 5 + ["c"]
    column, values, _ = read(cells)
    fraud = np.arange(12) % 2
    (fitted,), notes = own_columns.fit([column], values[:, None], fraud)
    assert fitted.values == ("a", "b") and not notes
    column, values, _ = read(["b", "new", "", "a"], "category")
    coded = own_columns.code([column], values[:, None], [fitted])
    assert coded[:, 0].tolist() == [3, 1, 0, 2]


def test_what_columns_are_taken_for_is_said() -> None:
    columns = [Column(f"V{i}", "number") for i in range(12)]
    columns[0] = Column("fee", "number", form=own_columns.DECIMAL_COMMA)
    columns += [Column("kind", "category", ("a",)), Column("at", "time")]
    assert own_columns.described(columns) == [
        "Columns as features: numbers fee as 1.234,5, V1, V2, V3, V4, V5, V6, "
        "V7, V8, V9, 2 more; times at; categories kind."
    ]
    assert own_columns.described([]) == []


def test_columns_that_tell_nothing_or_too_much_are_said() -> None:
    fraud = np.array([0, 1] * 20)
    columns = [Column("same", "number"), Column("leak", "number")]
    columns.append(Column("id", "category", tuple(map(str, range(40)))))
    columns.append(Column("gaps", "number"))
    values = np.stack(
        [np.ones(40), fraud * 5.0, np.arange(40) + 2.0,
         np.where(fraud, NAN, 1.0)], axis=1
    )  # fmt: skip
    fitted, notes = own_columns.fit(columns, values, fraud)
    assert [column.name for column in fitted] == ["leak", "gaps"]
    assert [note.split()[1] for note in notes] == ["same", "leak", "id", "gaps"]
    assert "add it to --ignore_columns" in notes[1]


@pytest.mark.parametrize(
    ("name", "feature"),
    [("Monthly Charges (EUR)", "Monthly_Charges_EUR"), ("2nd", "column_2nd"),
     ("größe", "gr_e"), ("for me", "for_me"), ("V1", "V1"),
     ("self", "column_self"), ("金額", "column_049598b0")],
)  # fmt: skip
def test_features_have_names_that_a_client_can_send(name, feature) -> None:
    assert Column(name, "number").feature == feature


def test_names_that_become_the_same_are_refused() -> None:
    with pytest.raises(InputError, match="'a_b' is too much like 'a b'"):
        own_columns.check_names(["a b", "a_b"])
    with pytest.raises(InputError, match="a feature that is computed"):
        own_columns.check_names(["Night"], ["night"])
    with pytest.raises(InputError, match="'v1' is too much like 'V1'"):
        own_columns.check_names(["V1", "v1"])


def test_options_name_columns_that_exist() -> None:
    known = ["TX_DATETIME", "who", "x", "code"]
    options = DataOptions(terminal_column="shop")
    with pytest.raises(InputError, match="there is no 'shop'"):
        options.column_names().present(known)
    columns = DataOptions(
        customer_column="who", category_columns=("code",), ignore_columns=("x",)
    ).column_names()
    present = columns.present(known)
    assert (present.terminal, present.customer) == ("", "who")
    own = own_columns.wanted(present, [*known, "TX_FRAUD_SCENARIO"])
    assert own == (Column("code", "category"),)
    for field in ("categories", "ignored"):
        wrong = dataclasses.replace(present, **{field: ("hue",)})
        with pytest.raises(InputError, match="there is no 'hue'"):
            own_columns.wanted(wrong, known)


OWN = (
    Column("price", "number"),
    Column("when", "time"),
    Column("shape", "category", ("cube", "rod")),
)
NAMES = ("amount", *(column.feature for column in OWN))
# Monday the 5th, 1970, at 6 o'clock is 102 hours after the epoch.
RAW = np.array(
    [[1, 10, 102, 2], [2, 20, 30, 3], [3, NAN, NAN, 0], [4, 30, 24, 3]], "f4"
)


def test_quantities_have_no_gaps_and_no_codes() -> None:
    quantities = encoding.Quantities(NAMES, RAW, OWN)
    assert quantities.names == (
        "amount", "price", "when_hour", "when_weekday", "shape"
    )  # fmt: skip
    expected = [
        # Numbers, hour and weekday; price and time missing; shape 0, 2, 3.
        [1, 10, 6, 0, 0, 0, 0, 1, 0],
        [2, 20, 6, 4, 0, 0, 0, 0, 1],
        [3, 20, 6, 4, 1, 1, 1, 0, 0],
        [4, 30, 0, 4, 0, 0, 0, 0, 1],
    ]
    np.testing.assert_array_equal(quantities.of(RAW), expected)
    assert quantities.owners(1).tolist() == [0, 1, 2, 3, 1, 2, 4, 4, 4]
    # A category that training did not see has no flag, and a gap no flag where
    # training had none.
    new = encoding.Quantities(NAMES, RAW[:2], OWN).of(RAW[2:3])
    np.testing.assert_array_equal(new, [[3, 15, 18, 5, 0, 0]])


def test_tflite_fills_gaps_as_keras_does() -> None:
    quantities = encoding.Quantities(NAMES, RAW, OWN)
    inputs = keras.Input((4,), batch_size=4)
    model = keras.Model(inputs, quantities.of(inputs))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], RAW)
    interpreter.invoke()
    output = interpreter.get_tensor(
        interpreter.get_output_details()[0]["index"]
    )
    np.testing.assert_allclose(output, quantities.of(RAW), atol=1e-5)


def test_a_server_takes_the_columns_by_their_names_and_types() -> None:
    inputs = Inputs(NAMES, OWN, (None,))
    assert [spec.dtype.name for spec in inputs.specs] == [
        "float32", "float32", "float64", "string"
    ]  # fmt: skip
    assert [spec.name for spec in inputs.specs] == list(NAMES)
    cells = [tf.constant(column) for column in inputs.cells(RAW)]
    np.testing.assert_array_equal(inputs.raw(cells), RAW)
    # A space that is not ASCII is a part of the text, in training too.
    texts = tf.constant(["cube", " rod ", "rod\u00a0", "N/A"])
    assert read(["rod\u00a0"])[0].values == ("rod\u00a0",)
    np.testing.assert_array_equal(
        inputs.raw([*cells[:3], texts])[:, 3], [2, 3, 1, 0]
    )


def test_columns_are_written_and_read(tmp_path) -> None:
    path = tmp_path / own_columns.FILE
    assert own_columns.load(path, "fraud_detect") == ()
    own_columns.write(path, OWN)
    assert own_columns.load(path, "fraud_detect") == OWN
    path.write_text('[{"name": "x", "kind": "colour", "values": []}]')
    with pytest.raises(InputError, match="is damaged"):
        own_columns.load(path, "fraud_detect")
