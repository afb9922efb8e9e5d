"""The tokenizer: its rules, and that Python and the graph do the same."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from apps.text_sentiment import graph, vocabulary
from apps.text_sentiment.tokenizer import Tokenizer
from common.options import InputError

PIECES = [
    *"abcXYZ'!?<>/&;# \t\n\0-\"_9",
    *("<br />", "\u2019", "é", "É", "İ", "ß", "中", "あ", "한", "😀", "❤️"),
    *("\u200d", "\ud7ff", "\uffff", "\U0010ffff", "\x85", "\xa0"),
    *("\u1680", "\u2028"),
]  # fmt: skip


def fuzz(num: int, seed: int) -> list[str]:
    """Returns random texts of all planes, rich in what the rules look for."""
    rng = random.Random(seed)

    def piece() -> str:
        if rng.random() < 0.6:
            return rng.choice(PIECES)
        low, high = rng.choice(
            [(0x20, 0x2FFF), (0, 0xD800), (0xE000, 0x110000)]
        )
        return chr(rng.randrange(low, high))

    return [
        "".join(piece() for _ in range(rng.randrange(60))) for _ in range(num)
    ]


def padded(ids: np.ndarray, length: int) -> np.ndarray:
    return np.pad(ids, ((0, 0), (0, length - ids.shape[1])))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's GREAT!<br /><br />Go", "it's great ! go"),
        ("'quoted' isn\u2019t ''", "quoted isn't"),
        ("8/10, really--no?!", "8 10 really no ? !"),
        ("caf\xe9 &amp; cr\xe8me \xab oui \xbb", "caf\xe9 cr\xe8me oui"),
        ("好看😀❤️ok", "好 看 😀 ❤ ok"),
        ("a < b > c <3", "a b c 3"),
        ("\t\n ", ""),
    ],
)
def test_words(text: str, words: str) -> None:
    tokenizer = vocabulary.make(vocabulary.SPECIAL, 8)
    assert tokenizer.words(text) == words.split()


def test_a_long_text_keeps_its_two_ends_and_an_empty_one_is_unknown() -> None:
    words = [f"w{index}" for index in range(20)]
    tokenizer = vocabulary.make((*vocabulary.SPECIAL, *words), 8)
    assert tokenizer.ids(words) == [2, 3, 16, 17, 18, 19, 20, 21]
    assert tokenizer.ids(words[:8]) == list(range(2, 10))
    assert tokenizer.padded(" ") == [1, 0, 0, 0, 0, 0, 0, 0]
    assert tokenizer.padded("w1 other")[:3] == [3, 1, 0]


def test_the_vocabulary_is_the_frequent_words_in_a_fixed_order() -> None:
    texts = [["b", "a", "b"], ["a", "rare", "c", "c", "c"]]
    assert vocabulary.build(texts, 10, 8).vocabulary[2:] == ("c", "a", "b")
    assert vocabulary.build(texts, 4, 8).vocabulary[2:] == ("c", "a")
    # Where all are rare, they are all there is.
    assert vocabulary.build([["x", "y"]], 9, 8).vocabulary[2:] == ("x", "y")


def test_python_and_graph_agree_on_ten_thousand_random_texts() -> None:
    texts = fuzz(10_000, seed=0)
    rules = vocabulary.make(vocabulary.SPECIAL, 16)
    words = sorted({word for text in texts for word in rules.words(text)})
    tokenizer = vocabulary.make((*vocabulary.SPECIAL, *words[::2]), 16)
    ids = graph.GraphTokenizer(tokenizer)(tf.constant(texts)).numpy()
    expected = np.array([tokenizer.padded(text) for text in texts])
    np.testing.assert_array_equal(padded(ids, 16), expected)
    assert len(np.unique(expected)) > 10_000


def test_bytes_that_are_no_text_are_unknown_words_in_both() -> None:
    rng = random.Random(1)
    special = b" '<b>!&"
    texts = [
        bytes(
            rng.choice(special) if rng.random() < 0.4 else rng.randrange(256)
            for _ in range(30)
        )
        for _ in range(2000)
    ]
    tokenizer = vocabulary.make((*vocabulary.SPECIAL, "b", "!"), 16)
    ids = graph.GraphTokenizer(tokenizer)(tf.constant(texts)).numpy()
    expected = [
        tokenizer.padded(text.decode("utf-8", "surrogateescape"))
        for text in texts
    ]
    np.testing.assert_array_equal(padded(ids, 16), np.array(expected))


def test_no_text_with_a_word_is_still_one_column() -> None:
    tokenizer = vocabulary.make((*vocabulary.SPECIAL, "a"), 16)
    ids = graph.GraphTokenizer(tokenizer)(tf.constant(["", "..."])).numpy()
    assert ids.tolist() == [[1], [1]]


def test_two_files_are_all_that_a_port_needs(tmp_path: Path) -> None:
    words = (*vocabulary.SPECIAL, "naïve", "!", "😀")
    vocabulary.write(tmp_path, vocabulary.make(words, 12))
    lines = (tmp_path / "vocab.txt").read_text("utf-8").split("\n")[:-1]
    rules = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    port = Tokenizer(lines, rules)
    assert port.ids(port.words("Naïve 😀 film!")) == [2, 4, 1, 3]
    assert vocabulary.read(tmp_path).vocabulary == words
    source = Path(vocabulary.__file__).with_name("tokenizer.py")
    assert len(source.read_text("utf-8").splitlines()) < 60
    with pytest.raises(InputError, match="must be of text_sentiment"):
        vocabulary.read(tmp_path / "missing")
