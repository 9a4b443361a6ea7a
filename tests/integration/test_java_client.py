"""Clients of the JVM: java.net.http.HttpClient, which offers h2c with every POST over http, and HttpURLConnection."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cli_support import cli_project

SOURCE = Path(__file__).parent / "java" / "Ask.java"
PATIENCE = 90

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("javac") is None, reason="no Java compiler here: apt-get install default-jdk-headless"
    ),
]


def test_bodies_of_posts_arrive_whole_beside_the_offer_of_h2c(tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    # Longer than a segment, and with what is more than one byte in UTF-8.
    body.write_text(
        json.dumps({"code": "result = [1 + 1, len(text)]", "variables": {"text": "ü" * 100_000}}, ensure_ascii=False)
    )
    subprocess.run(["javac", "-d", str(tmp_path), str(SOURCE)], check=True, timeout=PATIENCE, capture_output=True)
    with cli_project(tmp_path / "plant", '[listen]\naddress = "127.0.0.1:0"\n') as project:
        file = str(tmp_path / "token")
        assert project.call("token", "create", "--role", "author", "--name", "java", "--output", file).returncode == 0
        (url,) = project.json("engine", "status")["engine"]["listening"]
        options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", str(tmp_path)]
        done = subprocess.run(
            ["java", *options, "Ask", url, file, str(body)], capture_output=True, text=True, timeout=PATIENCE,
            check=False, env={**os.environ, "NO_PROXY": "*", "JAVA_TOOL_OPTIONS": ""},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.split(" ", 2) for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["HTTP_1_1", "200"]] * 3 + [["none", "401"], ["old", "200"]]
    for _, _, text in [*lines[:3], lines[4]]:
        answer = json.loads(text)
        assert (answer["success"], answer["value"]) == (True, [2, 100_000]), answer
