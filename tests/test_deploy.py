"""The manifests start TF Serving as `apps.serve` does."""

import re
from pathlib import Path

import pytest

from common.serving import launch

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
            "kustomization",
        )  # fmt: skip
