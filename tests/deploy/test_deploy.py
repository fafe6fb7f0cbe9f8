"""What lies in deploy/ is what its tools read: the unit, the proxy, the compose file, the dashboard."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
ROOT = DEPLOY.parent


def test_the_image_runs_as_nobody_special_and_is_looked_after():
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    stages = [line for line in lines if line.startswith("FROM ")]
    assert all(":" in line and ":latest" not in line for line in stages)
    assert "USER 10001" in lines
    assert any(line.startswith("HEALTHCHECK") for line in lines)
    assert "--require-hashes" in (DEPLOY / "Dockerfile").read_text()
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists(), name


def test_compose_names_files_that_are_there():
    text = (DEPLOY / "compose.yaml").read_text()
    assert (DEPLOY / re.search(r"\./(\w+):/etc/caddy", text)[1]).exists()
    assert (ROOT / re.search(r"dockerfile: (\S+)", text)[1]).exists()
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load(text)["services"]
    assert services["mintage"]["read_only"] is True
    assert services["mintage"]["ports"] == ["127.0.0.1:8642:8642"]  # TLS comes before the network


def test_systemd_reads_the_unit(tmp_path):
    unit = (DEPLOY / "mintage.service").read_text()
    assert "NoNewPrivileges=yes" in unit
    assert int(re.search(r"TimeoutStopSec=(\d+)", unit)[1]) > 30  # longer than the answers' grace
    if (tool := shutil.which("systemd-analyze")) is None:
        return
    here = tmp_path / "mintage.service"
    here.write_text(unit.replace("/opt/mintage/bin/mintage", shutil.which("true")))
    found = subprocess.run([tool, "verify", here], capture_output=True, text=True, timeout=60, check=False)
    ours = [line for line in found.stderr.splitlines() if "mintage.service" in line]
    assert ours == []


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx_reads_its_block(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
         "-subj", "/CN=mintage.example", "-days", "1"], check=True, capture_output=True,
    )  # fmt: skip
    block = (DEPLOY / "nginx.conf").read_text()
    block = block.replace("/etc/ssl/mintage/fullchain.pem", str(certificate))
    block = block.replace("/etc/ssl/mintage/privkey.pem", str(key))
    whole = tmp_path / "nginx.conf"
    whole.write_text(f"pid {tmp_path}/pid; error_log stderr; events {{}} http {{ access_log off; {block} }}")
    found = subprocess.run(["nginx", "-t", "-c", whole], capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 0, found.stderr
    assert "[warn]" not in found.stderr.replace('the "user" directive', "")


def test_every_metric_of_the_dashboard_is_one_that_mintage_has():
    reference = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    source = (ROOT / "src" / "mintage" / "server" / "metrics.py").read_text()
    dashboard = json.loads((DEPLOY / "grafana" / "mintage.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) >= 8
    for expression in expressions:
        for name in re.findall(r"mintage_\w+", expression):
            plain = re.sub(r"_(bucket|total)$", "", name)
            assert re.search(rf"\b{plain}\b", source), name
            assert plain in reference, name
