"""The schemas of public sets of interactions, made small.

Each function writes a file and returns its name, the options that read it, and
the users and items of its interactions.
"""

import csv
import datetime
from pathlib import Path

import numpy as np

USERS, ITEMS = 30, 25
# The moment of each row, an hour after the one before.
START = datetime.datetime(2010, 12, 1, 8, 26)
ROWS = 300


def pairs(seed: int) -> list[tuple[int, int, int, datetime.datetime]]:
    """Returns rows of a user, an item, a number from 1 to 5, and a moment."""
    rng = np.random.default_rng(seed)
    rows = zip(
        rng.integers(USERS, size=ROWS).tolist(),
        rng.integers(ITEMS, size=ROWS).tolist(),
        rng.integers(1, 6, size=ROWS).tolist(),
        range(ROWS),
        strict=True,
    )
    return [
        (user, item, number, START + datetime.timedelta(hours=hour))
        for user, item, number, hour in rows
    ]


def epoch(moment: datetime.datetime) -> int:
    return int(moment.replace(tzinfo=datetime.UTC).timestamp())


def lines(path: Path, separator: str, rows: list) -> None:
    text = "".join(separator.join(map(str, row)) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")


def movielens_1m(folder: Path) -> tuple[str, dict, set]:
    """Writes UserID::MovieID::Rating::Timestamp, without a header."""
    rows = [
        (user + 1, item + 1, stars, epoch(moment))
        for user, item, stars, moment in pairs(1)
    ]
    names = ("UserID", "MovieID", "Rating", "Timestamp")
    lines(folder / "ratings.dat", "::", rows)
    options = {
        "columns": names,
        "user_column": "UserID", "item_column": "MovieID",
        "rating_column": "Rating", "time_column": "Timestamp",
        "min_rating": 4.0,
    }  # fmt: skip
    liked = {(str(u), str(i)) for u, i, stars, _ in rows if stars >= 4}
    return "ratings.dat", options, liked


def movielens_100k(folder: Path) -> tuple[str, dict, set]:
    """Writes tabs between user, item, rating and seconds; no header."""
    rows = [
        (user + 196, item + 242, stars, epoch(moment))
        for user, item, stars, moment in pairs(2)
    ]
    names = ("user id", "item id", "rating", "timestamp")
    lines(folder / "u.data", "\t", rows)
    options = {
        "columns": names,
        "user_column": "user id", "item_column": "item id",
        "rating_column": "rating", "time_column": "timestamp",
    }  # fmt: skip
    return "u.data", options, {(str(u), str(i)) for u, i, *_ in rows}


ARTISTS = ("AC/DC", "Guns N' Roses", "Sigur Rós", "Simon, Paul", "  Low ")


def last_fm(folder: Path) -> tuple[str, dict, set]:
    """Writes users, artists and numbers of plays, without times."""
    rows = [
        (f"{user:040x}", f"{ARTISTS[item % 5]}{item if item >= 5 else ''}",
         plays * 40)
        for user, item, plays, _ in pairs(3)
    ]  # fmt: skip
    lines(folder / "plays.tsv", "\t", [("user", "artist", "plays"), *rows])
    options = {
        "user_column": "user", "item_column": "artist",
        "rating_column": "plays",
    }  # fmt: skip
    return "plays.tsv", options, {(u, i.strip()) for u, i, _ in rows}


RETAIL = (
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate",
    "UnitPrice", "CustomerID", "Country",
)  # fmt: skip


def invoices() -> list[tuple]:
    """Returns invoices: some of guests, some of goods that are given back."""
    rows = []
    for place, (user, item, number, moment) in enumerate(pairs(4)):
        is_return, is_guest = place % 10 == 3, place % 4 == 0
        date = (
            f"{moment.month}/{moment.day}/{moment.year} "
            f"{moment.hour}:{moment.minute:02}"
        )
        rows.append(
            (
                f"{'C' * is_return}{536365 + place // 3}", f"{85000 + item}A",
                f"LANTERN, {item}", -number if is_return else number,
                date, 2.55, "" if is_guest else f"{17850 + user}.0",
                "United Kingdom",
            )
        )  # fmt: skip
    return rows


def retail(folder: Path) -> tuple[str, dict, set]:
    """Writes what an online shop sold."""
    rows = invoices()
    with (folder / "retail.csv").open("w", newline="") as file:
        csv.writer(file).writerows([RETAIL, *rows])
    options = {
        "user_column": "CustomerID", "item_column": "StockCode",
        "rating_column": "Quantity", "time_column": "InvoiceDate",
        "title_column": "Description",
    }  # fmt: skip
    sold = {
        (row[6].removesuffix(".0"), row[1])
        for row in rows if row[6] and row[3] >= 0
    }  # fmt: skip
    return "retail.csv", options, sold


SCHEMAS = {
    "movielens_1m": (movielens_1m, "2010-12-01 to 2010-12-13"),
    "movielens_100k": (movielens_100k, "2010-12-01 to 2010-12-13"),
    "last_fm": (last_fm, ""),
    "retail": (retail, "2010-12-01 to 2010-12-13"),
}
