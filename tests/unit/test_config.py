"""Settings: where they come from, and what is said about those that cannot be used."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from engine.config import ConfigError, PolicySection, Settings
from store.settings_template import SETTINGS_TEMPLATE


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


def write(file: Path, text: str) -> Path:
    file.write_text(text)
    file.chmod(0o600)
    return file


def test_nothing_set_is_the_default(file: Path) -> None:
    assert Settings.load(file, {}) == Settings()


def test_the_template_shows_every_setting_with_its_default(file: Path) -> None:
    uncommented = re.sub(r"^# (\w+ = .*)$", r"\1", SETTINGS_TEMPLATE, flags=re.M)
    assert uncommented.count(" = ") >= 15
    assert Settings.load(write(file, uncommented), {}) == Settings()
    assert Settings.load(write(file, SETTINGS_TEMPLATE), {}) == Settings()


def test_file_then_environment_then_flags(file: Path) -> None:
    write(file, "[pool]\nsize = 4\nqueue_limit = 7\n[limits]\nmemory = '1 GiB'\ntimeout = 2\n")
    settings = Settings.load(file, {})
    assert (settings.pool.size, settings.pool.queue_limit) == (4, 7)
    assert (settings.limits.memory, settings.limits.timeout) == (1 << 30, 2.0)
    environ = {
        "GATEWRIGHT_POOL_SIZE": "5",
        "GATEWRIGHT_LIMITS_MEMORY": "64 MiB",
        "GATEWRIGHT_PROJECT": "x",
        "PATH": "y",
    }
    settings = Settings.load(file, environ)
    assert (settings.pool.size, settings.limits.memory) == (5, 64 << 20)
    assert Settings.load(file, environ, {"pool.size": 6}).pool.size == 6


@pytest.mark.parametrize(
    ("text", "sentence", "hint"),
    [
        ("[pool]\nsize = 0", "pool size must be 3 to 20, not 0.", "Correct pool.size."),
        ("[pool]\nsize = 99", "pool size must be 3 to 20, not 99.", "Correct pool.size."),
        ("[pool]\nsize = 3.5", "pool size must be 3 to 20, not 3.5.", None),
        ("[pool]\nsize = true", "pool size must be 3 to 20, not True.", None),
        ("[pool]\nsize = 'many'", "pool size must be 3 to 20, not many.", None),
        ("[pool]\nsize = '4 KiB'", "pool size must be 3 to 20, not 4 KiB.", None),
        ("[limits]\ntimeout = nan", "timeout must be 0.1 to 86400, not nan.", None),
        ("[limits]\nmemory = 1", "memory must be 64 MiB to 64 GiB, not 1.", None),
        ("[limits]\nmemory = '1 TB'", "memory must be 64 MiB to 64 GiB, not 1 TB.", None),
        ("[disk]\nkeep_free = -1", "must be 0 bytes to 1048576 GiB, not -1.", None),
        ("[engine]\npath = 3", "engine.path must be text.", None),
        ("[pool]\nsiez = 3", "sets the unknown key pool.siez.", "Did you mean pool.size?"),
        ("[pol]\nsize = 3", "sets the unknown section pol.", "Did you mean [pool]?"),
        ("pool = 3", "sets the unknown section pool.", "Did you mean [pool]?"),
        ("[pool", "is not valid TOML", "Correct that line, or delete the file."),
    ],
)
def test_what_cannot_be_used_is_one_sentence_that_names_the_file(
    file: Path, text: str, sentence: str, hint: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.load(write(file, text), {})
    assert str(file) in caught.value.message
    assert sentence in caught.value.message
    assert hint is None or caught.value.hint == hint


def test_an_unknown_variable_of_ours_is_refused(file: Path) -> None:
    with pytest.raises(ConfigError, match="unknown variable GATEWRIGHT_POOL_SIZ") as caught:
        Settings.load(file, {"GATEWRIGHT_POOL_SIZ": "3"})
    assert caught.value.hint == "Did you mean GATEWRIGHT_POOL_SIZE?"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(file: Path, mode: int) -> None:
    write(file, "")
    file.chmod(mode)
    with pytest.raises(ConfigError, match="can be written by other accounts"):
        Settings.load(file, {})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_account_is_refused(file: Path) -> None:
    write(file, "")
    os.chown(file, 65534, -1)
    with pytest.raises(ConfigError, match="belongs to another account"):
        Settings.load(file, {})


def test_what_is_no_file_is_refused(file: Path) -> None:
    file.mkdir()
    with pytest.raises(ConfigError, match="is not a settings file"):
        Settings.load(file, {})


def test_a_fifo_does_not_hang(file: Path) -> None:
    os.mkfifo(file, 0o600)
    with pytest.raises(ConfigError, match="is not a settings file"):
        Settings.load(file, {})


@pytest.mark.parametrize("name", ["MODULES", "LIFTED", "ALLOW_DEGRADED", "ADMIN_AS_ROOT", "ADMIN_MEMORY"])
def test_the_environment_decides_no_policy(file: Path, name: str) -> None:
    """Whoever can set a variable for the engine's account must not thereby lower the sandbox."""
    with pytest.raises(ConfigError, match="cannot decide what scripts may do"):
        Settings.load(file, {f"GATEWRIGHT_POLICY_{name}": "true"})


@pytest.mark.parametrize("name", ["LISTEN_ADDRESS", "LISTEN_TLS_CERT", "LISTEN_TLS_KEY"])
def test_the_environment_opens_no_port(file: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot decide who reaches the engine"):
        Settings.load(file, {f"GATEWRIGHT_{name}": "0.0.0.0:9089"})
    flags = {"listen.address": "127.0.0.1:0"}
    assert Settings.load(write(file, "[listen]\naddress = '[::1]:1'"), {}, flags).listen.address == "127.0.0.1:0"


def test_policy_of_the_file(file: Path) -> None:
    text = """
[policy]
preset = "practical"
modules = ["numpy", "os.path"]
lifted = ["threading"]
allow_degraded = true
admin_as_root = true
admin_memory = "1 GiB"
"""
    policy = Settings.load(write(file, text), {}).policy
    assert policy == PolicySection(
        preset="practical",
        modules=("numpy", "os.path"),
        lifted=("threading",),
        allow_degraded=True,
        admin_as_root=True,
        admin_memory=1 << 30,
    )


def test_an_unknown_preset_is_refused_with_the_ones_that_there_are(file: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        Settings.load(write(file, '[policy]\npreset = "practicle"\n'), {})
    assert refusal.value.message.endswith(
        'policy.preset must be "classic", "default" or "practical", not \'practicle\'.'
    )
    assert refusal.value.hint == "Did you mean practical?"


@pytest.mark.parametrize(
    "line",
    [
        'modules = "numpy"; x = 1',
        "modules = [1]",
        'modules = ["a b"]',
        'modules = ["os;sys"]',
        "modules = 3",
        'preset = "practicle"',
        'preset = ["classic"]',
        "preset = 3",
        'lifted = ["../x"]',
        "allow_degraded = 1",
        'allow_degraded = "yes"',
        "admin_memory = 1",
    ],
)
def test_a_policy_that_cannot_be_used_is_refused(file: Path, line: str) -> None:
    with pytest.raises(ConfigError):
        Settings.load(write(file, f"[policy]\n{line}\n"), {})
