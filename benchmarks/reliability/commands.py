"""Command lines that nobody meant: answered in one line, or done."""

import random
import re
import shutil
import signal
from pathlib import Path

from benchmarks.reliability import inputs, process, settings, tally
from benchmarks.reliability.exporters import is_hidden

CASES = 1000
# Seconds after which a command that is at work is asked to end politely.
PATIENCE = {"apps.serve": 4.0, "apps.data_service": 4.0, "apps.launch": 6.0}
USUAL_PATIENCE = 15.0
# absl's, for developers: they wait for a terminal.
LEFT_OUT = ("run_with_pdb", "pdb_post_mortem", "pdb")
NUMBERS = (
    "0", "1", "2", "3", "-1", "0.5", "1e-9", "1e400", "nan", "-inf", "0x10",
    "1_000", "2147483648", "9223372036854775808", "9" * 400, "\u00b2",
)  # fmt: skip
# Relative paths only: the campaign may be run by the superuser.
TEXTS = (
    "", " ", "abc", "a,b", ",,,", "=1+1", "caf\u00e9", "\udcff", "\u2028",
    "line\nline", "%s{0}$HOME", "[bold]", "x" * 300, "x" * 5000, "x/" * 200,
    "missing.csv", "missing/", "own.csv", "own.csv/inside", "empty.txt",
    "folder", "folder/new.csv", "new.json", "*.png", "[", "true", "False",
    "float32", "prune+qat", "int8,int8", "http://", "grpc://localhost:1",
    "http://localhost:1/versions/99999999999999999999", "http://[::1",
)  # fmt: skip


def run(plan: tally.Plan) -> tally.Tally:
    """Runs each case's command in a folder of its own."""
    result = tally.Tally(plan, *process.KINDS)
    process.import_everything()
    home = plan.folder.parent / "inputs" / "home"  # The same releases.
    inputs.prepare(home)
    flags = {program: flags_of(program, plan.folder) for program in PROGRAMS}
    for case, rng in plan.cases(CASES):
        folder = furnish(plan.folder / "case", home)
        program = rng.choice(PROGRAMS)
        words = [program, *start(program, home, rng)]
        words += changes(flags[program], rng)
        device = "/dev/full" if rng.random() < 0.03 else ""
        ended = process.run(
            words, folder, stdout=device, signals=interruptions(program, rng)
        )
        result.cases += 1
        result.notes[f"status {ended.status}"] += 1
        kind, message = ended.fault(allows(words, ended.status))
        line = repr(" ".join(words))[1:-1] + (f" > {device}" if device else "")
        if kind:
            shown = line.replace(str(home), "HOME")
            result.fail(kind, case, f"`{shown[:400]}`", message)
        if plan.case is not None:
            print(line, ended.stdout, ended.stderr, sep="\n")
    return result


PROGRAMS = (
    *(f"apps.{app}" for app in settings.TRAINING),
    "apps.compress",
    "apps.releases",
    "apps.serve",
    "apps.launch",
    "apps.data_service",
)


def flags_of(program: str, folder: Path) -> dict[str, list[str]]:
    """Returns a program's flags with their choices, absl's flags included."""
    text = process.run([program, "--helpfull"], folder).stdout
    flags = re.findall(r"^  -[\w,]*-(?:\[no\])?(\w+):(.*)$", text, re.M)
    return {
        name: re.findall(r"[\w.]+", choices[1])
        if (choices := re.match(r" <(.*)>", rest))
        else []
        for name, rest in flags
        if name not in LEFT_OUT
    }


def furnish(folder: Path, home: Path) -> Path:
    """Makes a new folder with files of a user's."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "folder").mkdir(parents=True)
    shutil.copy(home / "samples" / "texts.csv", folder / "own.csv")
    (folder / "empty.txt").touch()
    latin = "# caf\u00e9\n--epochs=1\n".encode("latin-1")
    (folder / "latin.flags").write_bytes(latin)
    (folder / "self.flags").write_text("--flagfile=self.flags\n", "utf-8")
    source = home / "saved_models"
    saved = folder / "saved"
    shutil.copytree(source / "fraud_detect", saved / "fraud_detect")
    shutil.copy(source / "models.config", saved / "models.config")
    return folder


def start(program: str, home: Path, rng: random.Random) -> list[str]:
    """Returns words that work, and that keep what follows short."""
    app = program.removeprefix("apps.")
    if app in settings.TRAINING:
        mode = rng.choice(("predict", "predict", "evaluate", "train"))
        inputs = "own.csv" if app == "text_sentiment" else "u1"
        return [
            *settings.command(app)[1:], "--export_dir=out", f"--mode={mode}",
            f"--release={home}/saved_models/{app}/1", f"--inputs={inputs}",
        ]  # fmt: skip
    return {
        "compress": [f"--model={home}/samples/model.keras",
                     f"--calibration={home}/samples/calibration.npz",
                     "--variants=float32", "--export_dir=out"],
        "releases": [rng.choice(("list", "promote", "rollback", "prune",
                                 "verify")),
                     "--export_dir=saved", "--settle_seconds=0"],
        "serve": ["--export_dir=saved", "--engine=embedded", "--rest_port=0",
                  "--grpc_port=0"],
        "launch": ["--workers=2"],
        "data_service": ["--port=0"],
    }[app]  # fmt: skip


def changes(flags: dict[str, list[str]], rng: random.Random) -> list[str]:
    """Returns up to four words, most of them wrong."""
    return [
        word for _ in range(rng.randint(0, 4)) for word in change(flags, rng)
    ]


def change(flags: dict[str, list[str]], rng: random.Random) -> list[str]:
    """Returns a flag with a value, or what only looks like one."""
    name = rng.choice(sorted(flags))
    choices = flags[name] or ["1"]
    value = rng.choice((rng.choice(NUMBERS), rng.choice(TEXTS),
                        rng.choice(choices)))  # fmt: skip
    forms = (
        *[[f"--{name}={value}"]] * 8,
        [f"--{name}", value],
        [f"--{name}"],
        [f"--no{name}"],
        [f"--no{name}={value}"],
        [f"-{name}={value}"],
        [f"--{name[: rng.randint(1, len(name))]}={value}"],
        [f"--{name}x={value}"],
        ["--" + "x" * rng.choice((1, 1000))],
        [f"--flagfile={rng.choice(('latin', 'self', 'missing'))}.flags"],
        [value],
        ["--"],
        ["--help"],
    )
    return rng.choice(forms)


def interruptions(program: str, rng: random.Random) -> list[tuple[float, int]]:
    """Returns what ends a command that works: SIGINT or SIGTERM, in time."""
    patience = PATIENCE.get(program, USUAL_PATIENCE)
    after = rng.choice((patience, patience, rng.uniform(0.3, patience)))
    return [(after, rng.choice((signal.SIGINT, signal.SIGTERM)))]


def allows(words: list[str], status: int) -> process.Allows:
    """Returns what tells whether a path may stay after such an end."""
    roots = {"runs"} if status else {"runs", "out", "saved"}

    def is_allowed(path: str) -> bool:
        parts = Path(path).parts
        if is_hidden(path):
            return False
        # A directory that the command names is where it should write.
        named = any(parts[0] in word for word in words[1:])
        return parts[0] in roots or named

    return is_allowed
