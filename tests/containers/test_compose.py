"""docker-compose.yml and the Dockerfile keep the promises of ARCHITECTURE.md; read as text, since not every machine has an engine."""

from __future__ import annotations

import json
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.ingest.settings import IngestSettings
from services.recommend.settings import RecommendSettings
from services.staging.settings import StagingSettings
from shared.service.settings import PREFIX, Settings
from tests.peers.pango import PACKAGES

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS: dict[str, type[Settings]] = {"ingest": IngestSettings, "staging": StagingSettings, "recommend": RecommendSettings}
DOCKERFILE = (ROOT / "services/Dockerfile").read_text()
LAST_STAGE = DOCKERFILE.rpartition("\nFROM ")[2]
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|KEY")

every_container = pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
every_service = pytest.mark.parametrize(("name", "settings"), OURS.items(), ids=OURS)


def environment(container: dict[str, Any]) -> dict[str, str]:
    return container.get("environment", {})


def networks(name: str) -> set[str]:
    return set(CONTAINERS[name]["networks"])


def test_the_three_services_a_fhir_server_and_a_database_are_containers_of_their_own() -> None:
    assert set(CONTAINERS) == {*OURS, "hapi", "postgres"}
    assert [CONTAINERS[name]["command"] for name in OURS] == [[name] for name in OURS]


@every_container
def test_a_container_has_no_more_rights_than_it_needs(container: dict[str, Any]) -> None:
    """No root, no capability, no way to gain one, no file system to write on."""
    assert container["user"].split(":")[0] not in ("", "0", "root")
    assert container["cap_drop"] == ["ALL"]
    assert "cap_add" not in container
    assert "no-new-privileges:true" in container["security_opt"]
    assert container["read_only"] is True
    assert "/tmp" in {mount.partition(":")[0] for mount in container["tmpfs"]}
    assert not {"privileged", "network_mode", "pid", "devices"} & set(container)


@every_container
def test_a_container_cannot_eat_up_the_machine(container: dict[str, Any]) -> None:
    """OWASP API4: memory, processes, and what may be written into memory are bounded."""
    assert re.fullmatch(r"[1-9]\d*[mg]", container["mem_limit"])
    assert container["pids_limit"] > 0
    assert [mount for mount in container["tmpfs"] if not re.fullmatch(r"/[^:]+:size=[1-9]\d*m", mount)] == []


@every_container
def test_a_container_says_whether_it_lives(container: dict[str, Any]) -> None:
    """By its own check, or by that of our image."""
    own = container.get("healthcheck", {}).get("test", [])
    assert own[:1] == ["CMD"] or (container["image"] == "figaro" and "\nHEALTHCHECK " in LAST_STAGE)


@every_container
def test_a_port_is_open_on_this_machine_only(container: dict[str, Any]) -> None:
    for port in container.get("ports", []):
        assert port.startswith("127.0.0.1:"), port


@every_container
def test_no_secret_has_a_default(container: dict[str, Any]) -> None:
    """A password comes from .env, and without one nothing starts."""
    for name, value in environment(container).items():
        if SECRET.search(name.upper()):
            assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name
        assert not re.search(r"//[^/@]*:[^/@]*@", value), f"{name} holds a password"


def test_the_example_names_every_variable_that_is_asked_for_and_gives_none() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    lines = [line for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#")]
    assert {line.partition("=")[0] for line in lines} == asked
    assert all(line.endswith("=") for line in lines)


@every_service
def test_a_variable_of_ours_is_a_setting_of_that_service(name: str, settings: type[Settings]) -> None:
    told = {variable.removeprefix(PREFIX).lower() for variable in environment(CONTAINERS[name]) if variable.startswith(PREFIX)}
    assert told <= set(settings.model_fields)
    assert environment(CONTAINERS[name])["FIGARO_HOST"] == "0.0.0.0"


@pytest.mark.parametrize("name", ["staging", "recommend"])
def test_only_ingest_knows_the_database(name: str) -> None:
    assert not any("DATABASE" in variable or variable.startswith("PG") for variable in environment(CONTAINERS[name]))
    assert "to-database" not in networks(name)


def test_staging_reaches_ingest_and_nobody_else() -> None:
    """Invariant 7: one network, without a way out, shared with ingest alone; told where to listen and how ingest is known."""
    (only,) = networks("staging")
    assert COMPOSE["networks"][only] == {"internal": True}
    assert {name for name in CONTAINERS if only in networks(name)} == {"staging", "ingest"}
    assert set(environment(CONTAINERS["staging"])) == {"FIGARO_HOST", "FIGARO_SERVICE_SECRET"}
    assert "ports" not in CONTAINERS["staging"]


def test_the_database_is_reached_by_ingest_alone() -> None:
    assert {name for name in CONTAINERS if networks(name) & networks("postgres")} == {"postgres", "ingest"}


def test_recommend_reaches_the_fhir_server_and_is_reached_by_ingest() -> None:
    assert {name for name in CONTAINERS if networks(name) & networks("recommend")} == {"recommend", "ingest", "hapi"}


def test_api2_staging_has_a_secret_of_its_own_and_none_by_which_recommend_writes() -> None:
    """OWASP API2: ingest and recommend share one, ingest and staging another, both from .env."""
    ingest, staging, recommend = (environment(CONTAINERS[name]) for name in OURS)
    assert ingest["FIGARO_SERVICE_SECRET"] == recommend["FIGARO_SERVICE_SECRET"]
    assert ingest["FIGARO_STAGING_SECRET"] == staging["FIGARO_SERVICE_SECRET"]
    assert not {value for name, value in recommend.items() if SECRET.search(name)} & set(staging.values())


def test_what_writes_and_what_reads_names_patients_by_one_key_where_no_server_keeps_the_audit() -> None:
    assert len({environment(CONTAINERS[name])["FIGARO_AUDIT_KEY"] for name in ("ingest", "recommend")}) == 1
    assert "FIGARO_AUDIT_KEY" not in environment(CONTAINERS["staging"])


def test_se09_the_network_of_the_fhir_server_is_the_only_private_one_in_reach() -> None:
    """Its range is fixed, and ingest and recommend meet HAPI there and nowhere else."""
    (subnet,) = [one["subnet"] for one in COMPOSE["networks"]["fhir"]["ipam"]["config"]]
    for name in ("ingest", "recommend"):
        assert json.loads(environment(CONTAINERS[name])["FIGARO_FHIR_NETWORKS"]) == [subnet]
        assert networks(name) & networks("hapi") == {"fhir"}
    assert ip_network(subnet).num_addresses <= 16


def test_only_what_has_a_port_is_on_the_network_that_leads_outside() -> None:
    outside = {name for name, options in COMPOSE["networks"].items() if not options.get("internal")}
    assert {name for name in CONTAINERS if networks(name) & outside} == {name for name, it in CONTAINERS.items() if "ports" in it}


def test_ingest_waits_until_all_it_needs_is_healthy() -> None:
    waits = CONTAINERS["ingest"]["depends_on"]
    assert {name: each["condition"] for name, each in waits.items()} == dict.fromkeys(set(CONTAINERS) - {"ingest"}, "service_healthy")


def test_the_image_is_built_in_two_steps_by_hash() -> None:
    """What others wrote is installed by the hashes of constraints.txt; then we, without dependencies."""
    commands = re.sub(r"\\\n", " ", DOCKERFILE)
    installs = re.findall(r"(?:pip|uv pip) install [^&\n]+", commands)
    assert installs
    for install in installs:
        assert "--require-hashes" in install or ("--no-deps" in install and "--offline" in install), install
    assert "--no-deps --no-build-isolation" in commands


def test_the_image_holds_no_build_tool_no_secret_and_no_root() -> None:
    """The last stage copies the finished environment; the first, with pip's caches and uv, stays behind."""
    assert DOCKERFILE.count("\nFROM ") == 2
    assert re.findall(r"^COPY .+$", LAST_STAGE, re.MULTILINE) == ["COPY --from=build /figaro /figaro"]
    assert re.search(r"^USER 10001:10001$", LAST_STAGE, re.MULTILINE)
    assert LAST_STAGE.index("USER 10001") < LAST_STAGE.index("ENTRYPOINT")
    assert not re.search(r"^(?:ARG|ENV) .*(?:PASSWORD|SECRET|TOKEN)", DOCKERFILE, re.MULTILINE)
    assert 'ENTRYPOINT ["figaro", "serve"]' in LAST_STAGE
    assert "/health/live" in LAST_STAGE


def test_the_image_has_what_draws_the_letters_of_a_pdf() -> None:
    """Pango and a font; and no list of packages is left behind."""
    (installs,) = re.findall(r"^RUN apt-get update .+?(?=^\S)", re.sub(r"\\\n", " ", LAST_STAGE), re.MULTILINE | re.DOTALL)
    assert set(PACKAGES) <= set(installs.split())
    assert "--no-install-recommends" in installs
    assert installs.rstrip().endswith("rm -rf /var/lib/apt/lists/*")


def test_the_build_sees_only_what_it_copies() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for name in line.split()[:-1]}
    assert allowed == copied
    assert "\n*\n" in (ROOT / ".dockerignore").read_text()
