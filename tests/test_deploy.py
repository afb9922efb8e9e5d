"""The manifests start TF Serving as `apps.serve` does."""

import dataclasses
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from common.serving import launch
from common.workers import cluster

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"


@pytest.mark.parametrize(
    "name", ["docker-compose.yml", "kubernetes/deployment.yaml"]
)
def test_the_flags_and_the_image_are_those_of_apps_serve(name: str) -> None:
    text = (DEPLOY / name).read_text()
    settings = launch.Settings(Path("saved_models"), batching=True)
    command = launch.docker_command(settings)
    ours = {word for word in command if re.match(r"--\w*port=|--\w+_", word)}
    batching = {word for word in ours if "batching" in word}
    manifest = yaml.safe_load(text)
    if name == "docker-compose.yml":
        container = manifest["services"]["serving"]
        words, image = container["command"], "${TF_SERVING_IMAGE:-%s}"
    else:
        (container,) = manifest["spec"]["template"]["spec"]["containers"]
        words, image = container["args"], "%s"
    assert set(words) == ours - batching
    assert container["image"] == image % launch.IMAGE
    assert "/models" in text
    if name == "docker-compose.yml":
        assert set(re.findall(r"# - (--\S+)", text)) == batching


def test_the_readme_names_every_command() -> None:
    text = (DEPLOY / "README.md").read_text()
    for command in ("list", "promote", "rollback", "prune", "verify"):
        assert command in text
    for path in DEPLOY.rglob("*.y*ml"):
        assert path.stem == "prometheus" or path.stem in (
            "docker-compose", "deployment", "service", "releases",
            "kustomization", "train-image-classify", "train-storage",
            "train-data-service",
        )  # fmt: skip


def arguments(name: str) -> list[list[str]]:
    """Returns the `args` of every container in a manifest."""

    def below(node: object) -> Iterator[list[str]]:
        if isinstance(node, dict):
            yield from [node["args"]] if "args" in node else []
        if isinstance(node, dict | list):
            for child in node.values() if isinstance(node, dict) else node:
                yield from below(child)

    text = (DEPLOY / "kubernetes" / name).read_text()
    return list(below(list(yaml.safe_load_all(text))))


def test_the_training_manifests_start_programs_with_their_options() -> None:
    found = [
        words
        for name in ("train-image-classify.yaml", "train-data-service.yaml")
        for words in arguments(name)
    ]
    assert {words[0] for words in found} == {
        "apps.image_classify", "apps.data_service",
    }  # fmt: skip
    for program, *words in found:
        suffix = ".config" if program == "apps.image_classify" else ""
        module = importlib.import_module(program + suffix)
        flags = {field.name for field in dataclasses.fields(module.Config)}
        assert {w[2:].partition("=")[0] for w in words} <= flags
    tfjob = (DEPLOY / "kubernetes" / "train-image-classify.yaml").read_text()
    assert f"status {cluster.LOST_STATUS}" in tfjob
