"""Using a release: prediction for texts, evaluation on a data set."""

import contextlib
import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.data import tables, text_files
from common.mobile import files, litert
from common.options import InputError, quote
from common.release import evaluation, predictions, served
from common.table_options import ANY_FORMAT, TableFormat

from . import results, train, vocabulary
from .config import APP, Config
from .corpus import Corpus

BATCH = 64
SORTED = 64 * BATCH
SHOWN_CHARACTERS = 80
# The ending of a file with a text in each line, which may be a table elsewhere.
TEXT_FILE = ".txt"
# The key of the probabilities of all classes in a row of output.
PROBABILITIES = "probabilities"


def run(config: Config) -> None:
    """Predicts, or evaluates, with a release."""
    use = evaluation.use(config, APP, ("test_file", "dataset"))
    classifier = Classifier(use.served, config.variant)
    if config.mode == "predict":
        predict(classifier, use.config)
        return
    options = use.config.replace(pretrain="")
    if not evaluation.is_own(config, use.trained):
        # The release's test file goes with its own data.
        options = options.replace(test_file=config.test_file)
    texts = train.load_texts(options, use.whole, classifier.class_names)
    evaluation.show(evaluate(classifier, texts, config.slice_by))


class Classifier:
    """A released classifier: the SavedModel, or one of the TFLite files."""

    def __init__(self, model: served.Served, variant: str = "") -> None:
        self._served = model
        self._runner = None
        if variant:
            mobile = model.release / "mobile"
            self._tokenizer = vocabulary.read(mobile)
            path = files.variant(model.release, variant)
            self._runner = litert.Runner(path.read_bytes())

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the probabilities."""
        return files.read_names(
            self._served.release / "mobile" / files.LABELS, APP
        )

    def names(self, num: int) -> tuple[str, ...]:
        """Returns the `num` classes; a server is asked if no file is here.

        A server of a release that cannot tell them gets the classes numbered.
        """
        if self._served.has_files:
            return self.class_names
        try:
            self._served.inputs("class_names")
        except InputError:
            return tuple(map(str, range(num)))
        answer = self._served("class_names", place=np.arange(num))
        return tuple(name.decode("utf-8") for name in answer["class_name"])

    def __call__(
        self, texts: Sequence[str]
    ) -> tuple[np.ndarray, tuple[str, ...]]:
        """Returns probabilities `(num, classes)` and the likeliest classes."""
        # A batch is as long as its longest text: texts of about the same length
        # share a batch.
        order = np.argsort([len(text) for text in texts], kind="stable")
        parts = [
            self._batch(
                [texts[place] for place in order[start : start + BATCH]]
            )
            for start in range(0, len(texts), BATCH)
        ]
        probabilities, labels = (
            np.concatenate(column)[np.argsort(order)]
            for column in zip(*parts, strict=True)
        )
        return probabilities, tuple(labels.tolist())

    def _batch(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the probabilities and the classes of a batch of texts."""
        if self._runner:
            ids = [self._tokenizer.padded(text) for text in texts]
            token_ids = np.array(ids, np.int32)
            rows = self._runner(token_ids=token_ids)["probabilities"]
            return rows, np.array(self.class_names)[rows.argmax(axis=1)]
        answer = self._served(text=[text.encode("utf-8") for text in texts])
        labels = [label.decode("utf-8") for label in answer["label"]]
        return answer["probabilities"], np.array(labels)


def evaluate(
    classifier: Classifier, corpus: Corpus, slice_by: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns the metrics on the test split of `corpus`, which may be all.

    Args:
        classifier: The release.
        corpus: The texts.
        slice_by: The columns of the texts' groups, which are measured apart.
    """
    evaluation.check_names(
        "classes", corpus.name, corpus.class_names, classifier.class_names
    )
    test = corpus.splits["test"]
    probabilities = classifier(test.texts)[0]
    values: dict[str, Any] = dict(results.measure(probabilities, test.labels))
    by_slice = results.by_slice({"test": probabilities}, corpus, slice_by)
    values |= {"slices": by_slice} if by_slice else {}
    unknown = {"roc_auc": "all texts are of one class"}
    return evaluation.describe(
        corpus.name,
        len(test.texts),
        corpus.judged,
        values,
        {} if "roc_auc" in values else unknown,
        corpus.notes,
    )


def predict(classifier: Classifier, config: Config) -> None:
    """Prints label and probability of each text; `--output` writes them.

    The file has the probabilities of all classes, too.
    """
    predictions.check_output(config.output)
    texts = read(config.inputs, config.text_column, config.table_format)
    rows = _rows(classifier, texts)
    predictions.show(rows, config.output, config.raw_output, _shorten)


def _rows(
    classifier: Classifier, texts: Iterable[str]
) -> Iterator[dict[str, Any]]:
    """Yields the output row of each text, classified `SORTED` at a time."""
    rest, names = iter(texts), None
    while part := list(itertools.islice(rest, SORTED)):
        for text, row, label in zip(part, *classifier(part), strict=True):
            names = names or classifier.names(len(row))
            chances = [round(chance, 6) for chance in row.tolist()]
            yield {
                "text": text,
                "label": label,
                "probability": max(chances),
                PROBABILITIES: dict(zip(names, chances, strict=True)),
            }


def _shorten(row: predictions.Row) -> predictions.Row:
    """Returns a row that fits the console: all classes would not."""
    shown = {key: row[key] for key in row if key != PROBABILITIES}
    return {**shown, "text": results.shorten(row["text"], SHOWN_CHARACTERS)}


def read(
    inputs: str, text_column: str, table_format: TableFormat = ANY_FORMAT
) -> Iterator[str]:
    """Returns the texts that `--inputs` names, or the text that it is.

    Lines are read when they are needed. A file is read once before that, so
    that an error in its last line is not met after hours of work.

    Args:
        inputs: `-` for the lines of standard input, a table, a file with a text
            in each line, or a text itself. A value that looks like a path that
            does not exist is an error: it is probably a mistyped name.
        text_column: The table's column of texts.
        table_format: What is known of the table's form.

    Raises:
        InputError: If there is no text, or the file cannot be read.
    """
    if not inputs:
        raise InputError(
            "--inputs must be a text, a file, or - for standard input; "
            "received nothing."
        )
    is_path = text_files.is_file(inputs) or text_files.looks_like_path(inputs)
    has_lines = inputs.lower().endswith(TEXT_FILE)
    if is_path and tables.is_table(inputs) and not has_lines:
        columns = [text_column]
        table = tables.read(inputs, columns, columns, "--inputs", table_format)
        return _cells(table[text_column])
    if inputs != "-" and not text_files.is_file(inputs):
        return iter([_text(inputs)])
    if inputs != "-":
        for _ in _lines(inputs):
            pass
    texts = _lines(inputs)
    first = next(texts, None)
    if first is None:
        raise InputError(f"--inputs must have texts; {inputs} has none.")
    return itertools.chain([first], texts)


def _cells(column: Any) -> Iterator[str]:
    """Yields the texts of an Arrow column, chunk by chunk."""
    for chunk in column.chunks:
        for cell in chunk.to_pylist():
            yield "" if cell is None else str(cell)


def _lines(inputs: str) -> Iterator[str]:
    """Yields the lines of a file, or of standard input where it is `-`."""
    number = 0
    try:
        with (
            contextlib.nullcontext(sys.stdin.buffer)
            if inputs == "-"
            else Path(inputs).open("rb")
        ) as file:
            for line in text_files.read_lines(file):
                number += 1
                yield line
    except (UnicodeError, OSError) as error:
        raise InputError(
            f"--inputs must be readable UTF-8; line {number + 1} of "
            f"{quote(inputs)}: {error}."
        ) from None


def _text(inputs: str) -> str:
    """Returns `--inputs` if it is a text; refuses what looks like a path."""
    if text_files.looks_like_path(inputs):
        raise InputError(
            f"--inputs must be a file that exists, or a text; received "
            f"{quote(inputs)}, which looks like a path and is no file. To "
            "classify it as a text, pass it to --inputs=- on standard input."
        )
    try:
        inputs.encode()  # The shell may have passed bytes that are no text.
    except UnicodeError:
        raise InputError(
            f"--inputs must be UTF-8; received {quote(inputs)}."
        ) from None
    return inputs
