"""What is said of a table's form, several files, and broken rows."""

import dataclasses
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from test_data_zoo_tables import workbook

from apps.fraud_detect import settings as fraud_settings
from apps.fraud_detect import transactions
from apps.recommender import config as recommender_config
from apps.recommender import data as recommender_data
from apps.text_sentiment import config as text_config
from apps.text_sentiment import predict as text_predict
from apps.text_sentiment import train as text_train
from common.data import quotes, table_files, tables
from common.options import InputError
from common.release import evaluation
from common.report import portable, report
from common.table_options import TableFormat, TableOptions


def write(folder: Path, name: str, content: str | bytes) -> Path:
    """Writes a file; returns its path."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "encoding", "text"),
    [
        ("a.csv", "windows-1252", "süß, naïve"),
        ("a.csv", "latin-1", "Größe"),
        ("a.tsv", "windows-1251", "хороший фильм"),
        ("a.csv.gz", "shift_jis", "とても良い"),
        ("a.txt", "gb18030", "很好看"),
        ("a.csv", "utf-32", "é"),
        ("a.json", "windows-1252", "süß"),
        ("a.jsonl", "utf-16", "süß"),
        ("a.jsonl.gz", "utf-16-le", "süß"),
        ("a.json", "utf-16", "süß"),
    ],
)
def test_texts_in_other_encodings(name, encoding, text, tmp_path) -> None:
    rows = [{"id": 1, "text": text}, {"id": 2, "text": "b"}]
    mark = "\t" if name.endswith((".tsv", ".txt")) else ","
    lines = [f"id{mark}text", f'1{mark}"{text}"', f"2{mark}b"]
    if ".json" in name:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    if name == "a.json":
        lines = [json.dumps(rows, ensure_ascii=False)]
    content = "\n".join(lines).encode(encoding)
    path = write(
        tmp_path,
        name,
        gzip.compress(content, mtime=0) if "gz" in name else content,
    )
    given = "" if encoding.startswith("utf") else encoding
    form = TableFormat(encoding=given)
    assert tables.names(path, table_format=form) == ["id", "text"]
    read = tables.read(path, ["id", "text"], table_format=form)
    assert read.to_pylist() == rows


@pytest.mark.parametrize(
    ("content", "given", "message"),
    [
        ("süß".encode("cp1252"), "", "--encoding=windows-1252, or save"),
        ("фильм".encode("cp1251"), "", r"windows-1251 \(Cyrillic\)"),
        ("süß".encode(), "windows-1252", "it is UTF-8, and not windows-1252"),
        ("süß".encode("cp1252"), "ascii", "must be ascii.* another --enc"),
    ],
)
def test_a_wrong_encoding_names_the_option(
    content, given, message, tmp_path
) -> None:
    path = write(tmp_path, "a.csv", b"id,text\n1," + content + b"\n")
    with pytest.raises(InputError, match=message) as refused:
        tables.read(path, ["text"], table_format=TableFormat(given))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("separator", "content"),
    [
        ("|", "a,b|c\n1,5|2\n"),
        (" ", "a,b c\n1,5 2\n"),
        ("§", "a,b§c\n1,5§2\n"),
        ("||", "a,b||c\n1,5||2\n"),
    ],
)
def test_the_separator_may_be_given(separator, content, tmp_path) -> None:
    path = write(tmp_path, "a.csv", content)
    form = TableFormat(separator=separator)
    read = tables.read(path, ["a,b", "c"], table_format=form)
    assert read.to_pylist() == [{"a,b": "1,5", "c": 2}]


HEADERLESS = TableFormat(columns=("user", "item", "rating"))
U_DATA = "196\t242\t3.5\n186\t302\t4\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("u.data", U_DATA),
        ("ratings.dat", U_DATA.replace("\t", "::")),
        ("a.csv", U_DATA.replace("\t", ";")),
        ("a.csv", U_DATA.replace("\t", ",")),
        (
            "a.csv.gz",
            gzip.compress(U_DATA.replace("\t", "|").encode(), mtime=0),
        ),
        ("a.xlsx", workbook([(196, 242, 3.5), (186, 302, 4)])),
    ],
)
def test_files_without_a_header(name, content, tmp_path) -> None:
    path = write(tmp_path, name, content)
    names = tables.names(path, table_format=HEADERLESS)
    assert names == list(HEADERLESS.columns)
    read = tables.read(path, ["rating", "user"], table_format=HEADERLESS)
    assert read.to_pylist() == [
        {"rating": 3.5, "user": 196},
        {"rating": 4.0, "user": 186},
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "user,item,rating\n1,2,3\n", "such as user. Leave --col"),
        ("a.csv", "1,2\n3,4\n", "row 1 has 2 cells, and --columns has 3"),
        ("a.csv", "1,2,3\n3,4\n", "row 2 has 2 cells, and --columns has 3"),
        ("a.xlsx", workbook([(1, 2)]), "2 columns, and --columns 3 names"),
        ("a.xlsx", workbook([("user", 2, 3)]), "Leave --columns out"),
    ],
)
def test_columns_that_do_not_fit(name, content, message, tmp_path) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(InputError, match=message):
        tables.read(path, ["user"], table_format=HEADERLESS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "utf-9"}, "--encoding must be"),
        ({"encoding": "base64"}, "--encoding must be"),
        ({"separator": '"'}, "--separator must be"),
        ({"columns": ("a", " a")}, "--columns must be"),
        ({"columns": ("a", "")}, "--columns must be"),
    ],
)
def test_options_of_tables_are_checked(options, message) -> None:
    with pytest.raises(InputError, match=message):
        TableOptions(**options)


def test_the_options_are_the_format() -> None:
    options = TableOptions(
        encoding="latin-1", separator="tab", columns=("a", " b"),
        max_cell_lines=7,
    )  # fmt: skip
    assert options.table_format == TableFormat("latin-1", "\t", ("a", "b"), 7)


@pytest.fixture
def parts(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2, 10):
        write(tmp_path, f"part-{number}.csv", f"a,b\n{number},x\n")
    write(tmp_path, "z.csv.gz", gzip.compress(b"b;a\nx;3\n", mtime=0))
    return tmp_path


@pytest.mark.parametrize(
    ("named", "rows"),
    [
        ("part-*.csv", [1, 2, 10]),
        ("part-?.csv", [1, 2]),
        ("part-10.csv,part-1.csv", [10, 1]),
        ("part-[12].csv, z.csv.gz", [1, 2, 3]),
        ("./part-2.csv", [2]),
    ],
)
def test_several_files_are_one_table(named, rows, parts) -> None:
    assert tables.is_table(named)
    assert tables.read(named, ["a"])["a"].to_pylist() == rows
    absolute = ",".join(str(parts / part.strip()) for part in named.split(","))
    assert tables.read(absolute, ["a"])["a"].to_pylist() == rows


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("part-1.csv,odd.csv", "odd.csv has 'c', and part-1.csv has not"),
        ("part-1.csv,part-*.csv", "name each file once; part-1.csv"),
        ("none-*.csv", "must have a file; 'none-.*' has none"),
        ("part-1.csv,none.csv", "'none.csv' is not a file"),
        ("part-1.csv,empty.csv", "must have rows; empty.csv has none"),
    ],
)
def test_files_that_do_not_go_together(named, message, parts) -> None:
    write(parts, "odd.csv", "a,b,c\n1,2,3\n")
    write(parts, "empty.csv", "a,b\n")
    with pytest.raises(InputError, match=message):
        tables.read(named, ["a"])


def test_files_of_different_types_are_read_alike(parts) -> None:
    write(parts, "comma.csv", "b;a\nx;1,5\ny;1.234,5\n")
    received = tables.numbers("part-1.csv,comma.csv", ["a"])
    assert received[:, 0].tolist() == [1, 1.5, 1234.5]


def test_the_same_files_have_the_same_identity(parts) -> None:
    names = ["part-*.csv", "./part-*.csv", "part-1.csv,part-2.csv,part-10.csv"]
    assert len({table_files.identity(name) for name in names}) == 1
    assert table_files.identity("part-1.csv") != table_files.identity(names[0])
    assert table_files.title(names[0]) == "part-1.csv and 2 more"
    assert table_files.exist("part-*") and not table_files.exist("none-*")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('a,b\n1,x\n2,"y\n3,z\n', r"row 2 \(line 3\) has a quote that"),
        ('a,b\n1,"x\n2,"y"\n3,z\n', r"row 1 \(line 2\) .* text behind"),
        ('a,b\n"x\n' + "1,2\n" * 20 + '",3\n', r"row 1 .* than 20 lines"),
        ('a,b\n\n1,x\n2,"y', r"row 2 \(line 4\) has a quote that"),
        ('a,"b\n1,2\n', r"the header \(line 1\) has a quote that"),
        ("a,b\n1,2\n3\n", "row 2 has 1 cells, and the header has 2 names"),
        ("a,b\n1,2\n\n3,4,5\n", "row 2 has 3 cells, and the header has 2"),
    ],
)
def test_broken_rows_are_named(content, message, tmp_path) -> None:
    path = write(tmp_path, "a.csv", content)
    with pytest.raises(InputError, match=message) as refused:
        tables.read(path, ["a"])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ('5" disk', '5" disk'),
        ('say "hi" there', 'say "hi" there'),
        ('"say ""hi"""', 'say "hi"'),
        ('"two\nlines, and ""more"""', 'two\nlines, and "more"'),
        ('"' + "x\n" * 19 + '"', "x\n" * 19),
    ],
)
def test_quotes_that_are_no_fault(cell, expected, tmp_path) -> None:
    path = write(tmp_path, "a.csv", f"a,b\n1,{cell}\n2,y\n")
    assert tables.read(path, ["b"])["b"].to_pylist() == [expected, "y"]


def test_more_lines_may_be_allowed(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'a\n"' + "x\n" * 30 + '"\n')
    form = TableFormat(max_cell_lines=31)
    assert tables.read(path, ["a"], table_format=form).num_rows == 1


@pytest.mark.parametrize("block", [1, 2, 3, 7])
@pytest.mark.parametrize("text", ['a,b\n1,"x""\n\n"\n2,"y', 'a\n""\n"""\n'])
def test_quotes_are_found_across_blocks(block, text) -> None:
    file = quotes.CheckedFile(io.BytesIO(text.encode()), ",", 9, True)
    with pytest.raises(ValueError, match=r"row 2 .* never closes"):
        while file.read(block):
            pass


def test_columns_without_a_name_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", ",user,item,\n0,1,2,\n")
    assert tables.names(path) == ["user", "item"]
    assert tables.read(path, ["item"]).to_pylist() == [{"item": 2}]


def test_true_and_false_are_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "a,b\ntrue,False\nfalse,True\n")
    assert tables.numbers(path, ["a", "b"]).tolist() == [[1, 0], [0, 1]]


def test_thousands_beside_decimal_commas_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "a;b;c\n1.234;1,5;0.5\n12;2,25;7\n")
    with pytest.raises(InputError, match=r"1\.234 in a can be 1234, for b has"):
        tables.numbers(path, ["a", "b"])
    # An option tells which reading is meant.
    for mark, cell in (("comma", "1.234"), ("point", 1.234)):
        said = TableFormat(decimal_mark=mark)
        table = tables.read(path, ["a", "b"], table_format=said)
        assert table["a"][0].as_py() == cell
    # A point that is surely decimal stays one.
    assert tables.numbers(path, ["c", "b"]).tolist() == [[0.5, 1.5], [7, 2.25]]


def test_every_app_reads_by_its_options(tmp_path: Path) -> None:
    """A file without a header, in Windows' encoding, in two parts."""
    names = ("when", "card", "shop", "paid", "fraud", "text", "label")
    for day in (1, 2):
        row = f"2024-01-0{day} 10:00:00§é{day}§x§1,5§no§süß {day}§ja\n"
        (tmp_path / f"p{day}.csv").write_bytes(row.encode("cp1252"))
    options = {
        "dataset": str(tmp_path / "p*.csv"), "encoding": "windows-1252",
        "separator": "§", "columns": names,
    }  # fmt: skip
    fraud = fraud_settings.DataOptions(
        **options, time_column="when", customer_column="card",
        terminal_column="shop", amount_column="paid", label_column="fraud",
    )  # fmt: skip
    table, *_ = transactions.read(
        fraud.dataset, dataclasses.replace(fraud.column_names(), id=""),
        skip_bad=False,
    )  # fmt: skip
    assert table.customers.tolist() == ["é1", "é2"]
    assert table.amount.tolist() == [1.5, 1.5]
    tastes = recommender_config.Config(**options)
    raw = recommender_data.read_table(
        tastes.dataset, user="card", item="shop", rating="paid", time="when",
        table_format=tastes.table_format,
    )  # fmt: skip
    assert raw.user_ids == ["é1", "é2"]
    assert raw.rating.tolist() == [1.5, 1.5]
    texts = text_config.Config(**options)
    read = text_predict.read(texts.dataset, "text", texts.table_format)
    assert list(read) == ["süß 1", "süß 2"]
    judged = text_train.load_texts(texts, "dataset", ("ja", "nein"))
    assert judged.splits["test"].texts == ["süß 1", "süß 2"]
    assert judged.name == "p1.csv and 1 more"


def test_several_files_are_a_release_s_own_or_new_data(parts) -> None:
    Path("new.csv").touch()
    trained = {
        "dataset": "part-*.csv",
        "paths": {"dataset": report.path_digest("part-*.csv")},
        "parts": {
            "dataset": [report.path_digest(f"part-{i}.csv") for i in (1, 2, 10)]
        },
    }
    for named, is_whole in [
        ("part-*.csv", False),
        (str(parts / "part-*.csv"), False),
        ("part-1.csv,part-2.csv,part-10.csv", False),
        ("new.csv", True),
        ("no-*.csv", False),
    ]:
        options = TableOptions(mode="evaluate", dataset=named)
        assert evaluation.is_whole(options, trained) is is_whole, named
    for named in ("part-2.csv", "new.csv,part-1.csv", "part-1.csv,part-2.csv"):
        options = TableOptions(mode="evaluate", dataset=named)
        with pytest.raises(InputError, match=r"new files.*part-\d.csv is only"):
            evaluation.is_whole(options, trained)
    options = TableOptions(
        mode="evaluate", dataset="part-2.csv,part-1.csv,part-10.csv"
    )
    with pytest.raises(InputError, match=r"-10.csv is these in another order"):
        evaluation.is_whole(options, trained)


def test_a_report_has_no_folders_of_several_files(tmp_path: Path) -> None:
    listed = f"{tmp_path / 'a.csv'},b.csv,{tmp_path / 'part-*.csv'}"
    assert portable.options(listed) == "a.csv,b.csv,part-*.csv"


def test_a_long_list_of_files_has_a_directory_of_runs(tmp_path: Path) -> None:
    listed = ",".join(f"part-{number}.csv" for number in range(500))
    TableOptions(dataset=listed, work_dir=str(tmp_path)).run_dir("a").mkdir()


@pytest.mark.parametrize("date", ["9999-12-31", "0202-01-05"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_dates_of_implausible_years_are_refused(date, ending, tmp_path) -> None:
    path = tmp_path / f"a.{ending}"
    moments = [np.datetime64("2024-01-01", "s"), np.datetime64(date, "s")]
    table = pa.table({
        "TX_DATETIME": moments, "CUSTOMER_ID": ["a", "b"],
        "TERMINAL_ID": ["x", "y"], "TX_AMOUNT": [1.0, 2], "TX_FRAUD": [0, 1],
    })  # fmt: skip
    save = parquet.write_table if ending == "parquet" else csv.write_csv
    save(table, path)
    columns = fraud_settings.DataOptions().column_names()
    with pytest.raises(InputError, match="of the years 1900 to 2100; row 2"):
        transactions.read(path, dataclasses.replace(columns, id=""), False)
    with pytest.raises(InputError, match="of the years 1900 to 2100 in col"):
        recommender_data.read_table(
            str(path), user="CUSTOMER_ID", item="TERMINAL_ID",
            time="TX_DATETIME",
        )  # fmt: skip
