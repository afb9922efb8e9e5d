"""The manifests start TF Serving as `apps.serve` does."""

import dataclasses
import importlib
import re
from pathlib import Path

import pytest

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
    assert set(re.findall(r"^ +- (--\S+)$", text, re.M)) == ours - batching
    assert launch.IMAGE in text
    assert "/models" in text and "\t" not in text
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
    text = (DEPLOY / "kubernetes" / name).read_text()
    inline = re.findall(r"^ +args: \[(.*)\]$", text, re.M)
    lists = re.findall(r"^ +args:\n((?: +(?:- |#).*\n)+)", text, re.M)
    return [one.split(", ") for one in inline] + [
        re.findall(r"^ +- (.*)$", one, re.M) for one in lists
    ]


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
        suffix = ".__main__" if program == "apps.image_classify" else ""
        module = importlib.import_module(program + suffix)
        flags = {field.name for field in dataclasses.fields(module.Config)}
        assert {w[2:].partition("=")[0] for w in words} <= flags
    tfjob = (DEPLOY / "kubernetes" / "train-image-classify.yaml").read_text()
    assert f"status {cluster.LOST_STATUS}" in tfjob
