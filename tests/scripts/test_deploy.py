"""What deploy/ holds for other programs, as far as their own parsers are here to say that it is right."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from centime.serve.gateway.upstreams.gateway_file import read_gateway_file

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def test_the_unit_is_right_as_systemd_reads_it(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here (Debian: systemd)")
    unit = (DEPLOY / "centime.service").read_text(encoding="utf-8").replace("/opt/centime/bin/centime", sys.executable)
    (tmp_path / "centime.service").write_text(unit)
    words = ["systemd-analyze", "verify", str(tmp_path / "centime.service")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_docker_compose_names_is_there() -> None:
    found = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text(encoding="utf-8"))
    services = found["services"]
    assert set(services) == {"gateway", "postgres", "prometheus", "grafana"}
    used = {"secrets": set(), "volumes": set()}
    for name, service in services.items():
        assert "build" in service or re.fullmatch(r"[\w./-]+:v?\d[\w.]*", service["image"]), name
        used["secrets"] |= set(service.get("secrets", ()))
        assert set(service.get("depends_on", ())) <= set(services)
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if not source.startswith("."):
                used["volumes"].add(source)
            elif source != "./gateway.toml":  # made by whoever starts it, from the example
                assert (DEPLOY / source).exists(), source
    assert {kind: set(found[kind]) for kind in used} == used
    script = services["gateway"]["entrypoint"][2].replace("$$", "$")
    assert subprocess.run(["sh", "-n", "-c", script], check=False).returncode == 0
    told = {volume.split(":")[1] for volume in services["grafana"]["volumes"]}
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/centime.yml").read_text(encoding="utf-8"))
    assert provider["providers"][0]["options"]["path"] in told


def test_the_example_is_a_gateway_s_file_and_the_dashboard_json() -> None:
    assert [one.name for one in read_gateway_file(DEPLOY / "gateway.example.toml").upstream] == ["rack"]
    board = json.loads((DEPLOY / "grafana" / "dashboards" / "centime.json").read_text(encoding="utf-8"))
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in board["panels"])
