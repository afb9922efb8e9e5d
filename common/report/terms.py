"""What the figures, columns and files of a report are, in a phrase each."""

from collections.abc import Iterable, Mapping

# Of the metrics that are the field's own; an app explains its others itself.
METRICS = {
    "accuracy": "the share of examples whose likeliest class is the true one",
    "top_5_accuracy": "the share of examples whose true class is among the "
    "five likeliest",
    "loss": "the error that training makes small; lower is better",
    "ece": "how far stated confidence and actual accuracy are apart; lower is "
    "better",
    "f1": "the harmonic mean of precision and recall",
    "macro_f1": "the mean over the classes of F1, the harmonic mean of "
    "precision and recall",
    "precision": "the share of the examples named so that are so",
    "recall": "the share of the examples that are so that were named so",
    "support": "the number of test examples",
    "share": "the part of the test examples",
    "roc_auc": "the chance that an example of the class is ranked above one "
    "of the others; 0.5 is guessing",
    "auroc": "the chance that an abnormal example gets a higher score than a "
    "normal one; 0.5 is guessing",
    "average_precision": "the mean precision from the highest score down; 1 if "
    "all that is sought ranks first",
    "pr_auc": "the area under the curve of precision against recall; 1 is "
    "perfect",
    "sensitivity": "the share of abnormal examples that are flagged",
    "specificity": "the share of normal examples that are not flagged",
    "psnr": "how near an output is to its target, in decibels; higher is "
    "better",
    "ssim": "how alike the structures of an output and its target are; 1 is "
    "equal",
    "r2": "the share of the target's variance that is explained",
    "rmse": "the root of the mean squared error, in the target's unit; lower "
    "is better",
    "mae": "the mean distance from the target, in its unit; lower is better",
    "seconds": "the time that fitting took",
    "agreement": "how far a file's outputs are the original model's; 1 is "
    "always",
}

# The columns of the table of files, but for the metric.
COLUMNS = {
    "variant": "the name of a file in mobile/, from the steps that made it",
    "valid": "the same figure on validation, by which the file to ship is "
    "chosen",
    "drop": "how much worse than float32 the file is on test",
    "kB": "the file's size",
    "gzip kB": "its size when zipped, as it is downloaded",
    "x smaller": "how many times smaller than float32 it is when zipped",
    "sparsity": "the share of weights that are zero",
    "k mult.": "thousands of multiplications of weights and inputs in a run",
    "p50 ms": "the median time for one example, on one thread of the machine "
    "that trained",
    "max error": "the greatest difference from the trained model's outputs",
}

# The parts of a file's name, which a plus sign joins.
PARTS = {
    "lowrank": "large layers made of two thin ones",
    "prune": "the smallest weights set to zero",
    "cluster": "weights limited to a few shared values",
    "qat": "trained with the rounding to 8 bits in place",
    "float32": "numbers of 32 bits",
    "float16": "weights of 16 bits",
    "dynamic": "weights of 8 bits, computation partly in float",
    "int8": "weights of 8 bits, and computation where the layers allow it",
    "int8x16": "weights of 8 bits, computation in integers of 16",
    "int4": "weights of 4 bits, computation in float",
    "selective": "the layers that suffer most left in float",
}


def variant(name: str) -> str:
    """Returns what a file's name says, as a phrase."""
    return ", ".join(PARTS[part] for part in name.split("+") if part in PARTS)


def parts(names: Iterable[str]) -> dict[str, str]:
    """Returns the parts that occur in names of files, with their meaning."""
    occurring = {part for name in names for part in name.split("+")}
    return {key: text for key, text in PARTS.items() if key in occurring}


def of(names: Iterable[str], own: Mapping[str, str]) -> dict[str, str]:
    """Returns the meaning of metrics, of those that have one here or there.

    Args:
        names: The metrics.
        own: The terms of the app, which come first.
    """
    known = {**METRICS, **own}
    return {name: known[name] for name in names if name in known}
