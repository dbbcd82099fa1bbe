"""What must not get into the repository: paths of somebody's machine, addresses of a registry, hooks fetched from elsewhere."""

from __future__ import annotations

import re

import yaml

from tests.docs.markdown import ROOT, files, name

HOMES = ("work", "home", "root", "Users", "opt/hostedtoolcache")
MACHINE = re.compile(r"(?<![\w.~:/\]}*-])/(?:" + "|".join(HOMES) + r")/[\w.]|[A-Z]:\\Users")
ADDRESS = re.compile(r"https?://|index-url|find-links| @ (?:file|git)")
TEXT = {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".java", ".xml", ".json", ".sh", ".html", ".css", ".js", ".ini", ""}
READ = [path for path in files() if path.suffix in TEXT and path.stat().st_size < 2_000_000]


def test_no_path_of_somebody_s_machine_is_in_a_file() -> None:
    found = {name(path): match[0] for path in READ if (match := MACHINE.search(path.read_text(encoding="utf-8", errors="replace")))}
    assert found == {}


def test_such_a_path_would_be_seen() -> None:
    slash = "/"
    for path in (f"cd {slash}home{slash}someone", f'"{slash}root{slash}.cache"', f"({slash}Users{slash}me)"):
        assert MACHINE.search(path), path


def test_the_constraints_hold_hashes_and_no_address() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert not ADDRESS.search(text)
    pinned = re.findall(r"^[a-z0-9.-]+(?:\[[^\]]+\])?==", text, re.MULTILINE)
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(pinned) == len(blocks)
    assert all("--hash=sha256:" in block for block in blocks)


def test_a_hook_is_local_and_runs_what_is_installed() -> None:
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [each["repo"] for each in repositories] == ["local"]
    assert all(hook["entry"].startswith(".venv/bin/") and hook["language"] == "system" for hook in repositories[0]["hooks"])


def test_no_secret_file_is_in_the_repository() -> None:
    assert not {".env"} & {path.name for path in files()}
