"""The app on a user's own folder: odd names, odd shapes, every mode."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from apps.image_classify import predict
from apps.image_classify import train as app
from common import program, runtime
from common.mobile import litert
from common.options import InputError
from common.release import served
from common.report import report

CLASSES = ("$\\x$ <b>", "naïve [cat]")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("folder")


@pytest.fixture(scope="module")
def options(home: Path) -> app.Config:
    """Gives options for two classes of dark, wide images without white."""
    rng = np.random.default_rng(0)
    for label, name in enumerate(CLASSES):
        folder = home / "set" / name
        folder.mkdir(parents=True)
        for index in range(40):
            image = rng.integers(0, 60, (12, 18, 3), dtype=np.uint8)
            image[:, 9 * label : 9 * label + 9] += 60
            path = folder / f"{index:02d} [a].PNG"
            path.write_bytes(tf.io.encode_png(image).numpy())
    return app.Config(
        dataset=str(home / "set"), model="small_cnn", epochs=3, batch_size=16,
        learning_rate=3e-3, seed=5, finetune_epochs=1, mixup=0.2,
        label_smoothing=0.1, schedule="plateau", strategy="mirrored",
        variants=("int8", "prune+cluster+int8"), max_drop=1.0,
        export_dir=str(home / "out"), work_dir=str(home / "runs"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def released(options: app.Config) -> Path:
    runtime.start(options.seed)
    app.run(options)
    return Path(options.export_dir) / "image_classify" / "1"


def test_two_classes_are_learnt_on_mirrored_devices(released, options) -> None:
    result = report.read(released)
    assert result["metrics"]["test"]["accuracy"] >= 0.5
    assert [row["name"] for row in result["variants"]] == [
        "float32", "int8", "prune+cluster+int8",
    ]  # fmt: skip
    assert result["config"]["strategy"] == "mirrored"


def test_int8_files_take_bytes_though_no_image_is_white(released) -> None:
    content = (released / "mobile" / "int8.tflite").read_bytes()
    scale, zero_point = litert.Runner(content).inputs["image"]["quantization"]
    assert scale == pytest.approx(1 / 255) and zero_point == 0


def test_evaluate_uses_the_releases_split_and_shape(
    released, options, capsys, monkeypatch
) -> None:
    # The report has only the last name of the data's path.
    monkeypatch.chdir(Path(options.dataset).parent)
    trained = report.read(released)["metrics"]["test"]["accuracy"]
    program.run(
        app.Config(mode="evaluate", release=str(released), dataset="")
    )  # The release has another seed, and images that are not square.
    assert f'"accuracy": {trained}' in capsys.readouterr().out


def test_evaluate_judges_all_of_a_folder_that_is_named(
    released, options, home, capsys
) -> None:
    fresh = home / "fresh" / CLASSES[1]  # The other class has no images.
    fresh.mkdir(parents=True)
    for path in sorted((Path(options.dataset) / CLASSES[1]).iterdir())[:7]:
        (fresh / path.name).write_bytes(path.read_bytes())
    config = app.Config(
        mode="evaluate", release=str(released), dataset=str(fresh.parent)
    )
    program.run(config)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["dataset"], printed["examples"]) == ("fresh", 7)
    assert printed["split"] == "all"
    # The release's own folder is judged by its test split, named or not.
    program.run(config.replace(dataset=options.dataset + "/"))
    printed = json.loads(capsys.readouterr().out)
    assert printed["split"] == "test" and printed["examples"] < 40
    (fresh.parent / "other").mkdir()
    with pytest.raises(InputError, match="has 'other'"):
        program.run(config)
    (fresh / "bad.png").write_text("")
    (fresh.parent / "other").rmdir()
    with pytest.raises(InputError, match="not a PNG, JPEG, GIF, BMP, WebP"):
        program.run(config)
    program.run(config.replace(on_bad_input="skip"))
    assert json.loads(capsys.readouterr().out)["examples"] == 7


def test_a_folder_or_a_file_with_brackets_is_read(released, options) -> None:
    classifier = predict.Classifier(served.Local(released))
    folder = Path(options.dataset) / CLASSES[1]
    for inputs in (folder, folder / "00 [a].PNG", f"{folder.parent}/*/0*.PNG"):
        config = app.Config(mode="predict", inputs=str(inputs))
        predict.predict_files(classifier, config)
    assert classifier.class_names == CLASSES


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": ""}, "received nothing"),
        ({"output": "missing/x.csv"}, "folder that exists"),
    ],
)
def test_predict_refuses_before_it_works(released, changes, words) -> None:
    config = app.Config(**{"mode": "predict", "inputs": "x", **changes})
    with pytest.raises(InputError, match=words):
        predict.predict_files(
            predict.Classifier(served.Local(released)), config
        )


def test_a_wrong_layer_is_refused_before_training(options, home) -> None:
    wrong = options.replace(
        prune_layers=("nothing",), work_dir=str(home / "never")
    )
    with pytest.raises(InputError, match="nothing is none of"):
        app.run(wrong)
    assert not (home / "never").exists()


def test_unwritable_places_are_refused_before_training(options, home) -> None:
    (home / "file").write_text("")
    with pytest.raises(InputError, match="--export_dir"):
        app.run(options.replace(export_dir=str(home / "file" / "x")))
    with pytest.raises(InputError, match="--work_dir"):
        app.run(options.replace(work_dir=str(home / "file")))


def test_changed_data_are_another_run(options) -> None:
    splits = app.load_data(options)
    more = app.load_data(options.replace(image_size=20))
    assert splits.digest() == app.load_data(options).digest()
    assert splits.digest() != more.digest()


def test_prediction_holds_a_batch_of_files(tmp_path: Path) -> None:
    """Each file is decoded once, and not before the last batch is done."""
    num = 3 * predict.BATCH + 1
    image = tf.io.encode_png(np.zeros((2, 2, 3), np.uint8)).numpy()
    for index in range(num):
        (tmp_path / f"{index:04d}.png").write_bytes(image)
    decoded, decided = [], []

    class Classifier:
        shape = (8, 8, 3)

        def decode(self, content, max_megapixels):
            decoded.append(content)
            assert len(decoded) - len(decided) <= predict.BATCH
            return np.zeros(self.shape, np.uint8)

        def decide(self, examples):
            decided.extend(examples)
            return [("cat", 0.5)] * len(examples)

    config = app.Config(mode="predict", inputs=str(tmp_path))
    predict.predict_files(Classifier(), config)
    assert len(decoded) == len(decided) == num
