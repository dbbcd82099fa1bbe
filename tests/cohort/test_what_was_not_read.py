"""What could not be read of a patient is unknown, not none: it puts nobody in another group, and keeps nobody alive."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.study_cohort import bundles
from services.cohort.engines import OneProcess
from services.cohort.report import of_result
from services.cohort.result import Manifest
from services.cohort.run import run
from services.cohort.summary import notes, without_numbers
from services.cohort_study import STUDY
from shared.fhir.outcome import Refused
from shared.fhir.reader import read_resources
from tests.cohort.export import Json, done, planned, resources, write

HERS: list[Json] = list(resources(bundles()[:4]))
BRACHYTHERAPY = "394902000"
pytestmark = pytest.mark.usefixtures("fitted_once")


def result(tmp_path: Path, given: list[Json], mend: Callable[[Path], None] = lambda export: None) -> tuple[Manifest, dict[str, Json]]:
    export = write(tmp_path / "export", given)
    mend(export)
    return done(planned(export, study=STUDY))


def raw(export: Path, kind: str) -> list[str]:
    return (export / f"{kind}.ndjson").read_text().splitlines()


def put(export: Path, kind: str, lines: list[str]) -> None:
    (export / f"{kind}.ndjson").write_text("".join(f"{line}\n" for line in lines))


def whose(line: str) -> str:
    found: str = json.loads(line)["subject"]["reference"]
    return found


def said(manifest: Manifest) -> str:
    return "\n".join(notes(manifest))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Json]:
    """The rows of an export in which all can be read."""
    return result(tmp_path_factory.mktemp("whole"), HERS)[1]


def test_a_procedure_that_is_set_aside_leaves_her_group_open_and_nobody_else_s(tmp_path: Path, whole: dict[str, Json]) -> None:
    assert {row["counted"] for row in whole.values()} == {True}
    (who, *others) = [patient for patient, row in whole.items() if row["group"] == "A"]
    wrong = [
        one | {"bodySite": "pelvis"} if BRACHYTHERAPY in json.dumps(one) and one.get("subject", {}).get("reference") == who else one
        for one in HERS
    ]
    manifest, rows = result(tmp_path, wrong)
    hers = rows[who]
    assert (hers["group"], hers["pelvic_radiotherapy"], hers["counted"], hers["left_out"]) == (None, None, False, "complete")
    assert any(each["assigned"] == "group open" and "not known" in each["says"] for each in hers["reasons"])
    assert others
    assert [rows[one] for one in others] == [whole[one] for one in others]
    assert manifest.counts.counted == len(whole) - 1
    assert "Of 1 patients not all that is on record of Procedure could be read" in said(manifest)


@pytest.mark.parametrize(
    ("kind", "column"),
    [("Procedure", "group"), ("MedicationAdministration", "cycles"), ("Observation", "progressed"), ("Condition", "pfs_days")],
)
def test_a_broken_line_whose_patient_is_recognised_is_unknown_of_her_alone(
    tmp_path: Path, whole: dict[str, Json], kind: str, column: str
) -> None:

    def breaks(export: Path) -> None:
        lines = raw(export, kind)
        put(export, kind, [lines[0][:-5], *lines[1:]])

    who = whose(next(json.dumps(one) for one in HERS if one["resourceType"] == kind))
    manifest, rows = result(tmp_path, HERS, breaks)
    assert rows[who][column] is None
    assert [rows[one] for one in whole if one != who] == [whole[one] for one in whole if one != who]
    assert manifest.counts.unreadable == 1
    assert manifest.counts.lost == {}


@pytest.mark.parametrize("broken", ['{"resourceType":"Procedure","id":"x","stat', '["Procedure"]', "torn", ""])
def test_a_broken_line_of_nobody_leaves_every_group_open(tmp_path: Path, broken: str) -> None:
    def breaks(export: Path) -> None:
        put(export, "Procedure", [broken, *raw(export, "Procedure")])

    manifest, rows = result(tmp_path, HERS, breaks)
    if not broken:
        assert {row["group"] is None for row in rows.values()} == {False}
        return
    assert {(row["group"], row["counted"]) for row in rows.values()} == {(None, True)}
    assert manifest.counts.lost == {"Procedure": 1}
    assert "Procedure" in manifest.counts.unread
    assert "1 lines of Procedure" in said(manifest)


def test_an_observation_of_nobody_leaves_no_progression_told(tmp_path: Path) -> None:
    def breaks(export: Path) -> None:
        put(export, "Observation", ['{"resourceType":"Observation","id":"x","code', *raw(export, "Observation")])

    _, rows = result(tmp_path, HERS, breaks)
    assert {(row["progressed"], row["pfs_days"], row["counted"]) for row in rows.values()} == {(None, None, False)}
    with pytest.raises(Refused, match="not all of them: ECOG and outcome"):
        of_result(tmp_path / "export-cohort")


def test_a_bundle_in_a_line_is_no_procedure(tmp_path: Path) -> None:
    def bundle(export: Path) -> None:
        entries = [{"resource": json.loads(line)} for line in raw(export, "Procedure")]
        put(export, "Procedure", [json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries})])

    manifest, rows = result(tmp_path, HERS, bundle)
    assert {row["group"] for row in rows.values()} == {None}
    assert "Procedure" in manifest.counts.unread


def test_a_bundle_among_lines_is_not_read_and_what_it_holds_is_unknown(tmp_path: Path) -> None:
    def bundle(export: Path) -> None:
        lines = raw(export, "Procedure")
        put(export, "Procedure", [json.dumps({"resourceType": "Bundle", "entry": [{"resource": json.loads(lines[0])}]}), *lines[1:]])

    manifest, rows = result(tmp_path, HERS, bundle)
    assert {row["group"] for row in rows.values()} == {None}
    assert manifest.counts.lost == {"Procedure": 1}


@pytest.mark.parametrize("subject", [{"identifier": {"value": "17"}}, {"reference": "#p"}, {"reference": "Patient?identifier=17"}])
def test_a_procedure_of_somebody_who_cannot_be_told_leaves_every_group_open(tmp_path: Path, subject: Json) -> None:
    procedure = next(one for one in HERS if one["resourceType"] == "Procedure") | {"id": "whose", "subject": subject}
    _, rows = result(tmp_path, [*HERS, procedure])
    assert {row["group"] for row in rows.values()} == {None}


def test_a_procedure_of_a_group_is_nobody_s_loss(tmp_path: Path, whole: dict[str, Json]) -> None:
    procedure = next(one for one in HERS if one["resourceType"] == "Procedure") | {"id": "theirs", "subject": {"reference": "Group/1"}}
    assert result(tmp_path, [*HERS, procedure])[1] == whole


def test_without_her_patient_nobody_knows_whether_she_lives_and_she_is_left_out(tmp_path: Path, whole: dict[str, Json]) -> None:
    who = next(patient for patient, row in whole.items() if row["died"])
    manifest, rows = result(tmp_path, [one for one in HERS if f"{one['resourceType']}/{one['id']}" != who])
    hers = rows[who]
    assert (hers["died"], hers["died_on"], hers["os_days"], hers["counted"], hers["left_out"]) == (None, None, None, False, "complete")
    assert any(each["assigned"] == "vital status open" for each in hers["reasons"])
    assert {patient: rows[patient] for patient in rows if patient != who} == {one: whole[one] for one in whole if one != who}
    assert "vital status" in said(manifest)


def test_a_patient_that_cannot_be_read_tells_of_no_life(tmp_path: Path) -> None:
    first = next(one for one in HERS if one["resourceType"] == "Patient")
    who = f"Patient/{first['id']}"
    _, rows = result(tmp_path, [one | {"birthDate": 7} if one is first else one for one in HERS])
    assert (rows[who]["died"], rows[who]["counted"]) == (None, False)


def test_an_export_without_patients_counts_nobody_and_says_why(tmp_path: Path) -> None:
    manifest, rows = result(tmp_path, [one for one in HERS if one["resourceType"] != "Patient"])
    assert {(row["died"], row["counted"]) for row in rows.values()} == {(None, False)}
    assert "Patient" in manifest.counts.absent
    with pytest.raises(Refused, match="no Patient"):
        of_result(tmp_path / "export-cohort")


@pytest.mark.parametrize(
    ("kind", "old", "new", "column"),
    [("Procedure", "performedPeriod", "occurrencePeriod", "group"), ("Observation", "encounter", "context", "progressed")],
)
def test_a_resource_in_the_shape_of_another_version_is_not_read_of_her(
    tmp_path: Path, whole: dict[str, Json], kind: str, old: str, new: str, column: str
) -> None:
    shaped = next(one for one in HERS if one["resourceType"] == kind and (old in one or old == "encounter"))
    other = {name: value for name, value in shaped.items() if name != old} | {new: shaped.get(old, {"reference": "Encounter/1"})}
    manifest, rows = result(tmp_path, [other if one is shaped else one for one in HERS])
    who = shaped["subject"]["reference"]
    assert (rows[who][column], rows[who]["counted"]) == (None, False)
    assert [rows[one] for one in whole if one != who] == [whole[one] for one in whole if one != who]
    assert "what rests on them is not told of their patients" in said(manifest)


def test_a_type_that_is_there_in_another_shape_alone_is_no_reading_of_it(tmp_path: Path) -> None:
    """Else who had no radiotherapy would be counted, and all who had some left out."""
    given = [{"occurrencePeriod" if name == "performedPeriod" else name: value for name, value in one.items()} for one in HERS]
    manifest, rows = result(tmp_path, given)
    assert {(row["group"], row["counted"]) for row in rows.values()} == {(None, True)}
    assert manifest.counts.absent == ("Procedure",)
    assert any("no Procedure in the shape of FHIR R4" in each["says"] for row in rows.values() for each in row["reasons"])


def test_a_record_that_is_replaced_is_not_counted_beside_its_replacement(tmp_path: Path, whole: dict[str, Json]) -> None:
    mine = [one for one in HERS if one["id"] == "study-01" or one.get("subject", {}).get("reference") == "Patient/study-01"]
    again: list[Json] = json.loads(json.dumps(mine).replace("study-01", "merged-01"))
    for one in again:
        if one["resourceType"] == "Patient":
            one |= {"active": False, "link": [{"other": {"reference": "Patient/study-01"}, "type": "replaced-by"}]}
    manifest, rows = result(tmp_path, [*HERS, *again])
    assert (rows["Patient/merged-01"]["applies"], rows["Patient/merged-01"]["counted"]) == (False, False)
    assert "Patient/study-01" in str(rows["Patient/merged-01"]["issues"])
    assert rows["Patient/study-01"] == whole["Patient/study-01"]
    assert "replaced by another" in said(manifest)
    assert of_result(tmp_path / "export-cohort").counted == "4"
    # Where the replacement is not in the export, she is all that there is of her.
    _, alone = result(tmp_path / "alone", again)
    assert alone["Patient/merged-01"]["counted"]


def test_a_resource_that_a_newer_version_gives_to_another_patient_is_hers_no_more(tmp_path: Path) -> None:
    mine = next(one for one in HERS if one["id"] == "study-01-primary")
    now = mine | {"meta": mine.get("meta", {}) | {"lastUpdated": "2020-01-01T00:00:00Z"}, "subject": {"reference": "Patient/other"}}
    manifest, rows = result(tmp_path, [*HERS, now])
    assert not rows["Patient/study-01"]["counted"]
    assert rows["Patient/other"]["condition"] == "Condition/study-01-primary"
    assert manifest.counts.moved == 1
    assert "another patient" in said(manifest)


def test_of_two_versions_the_newer_is_told_by_the_instant_and_not_by_its_text() -> None:
    newer = {"resourceType": "Patient", "id": "1", "meta": {"lastUpdated": "2020-05-31T23:30:00Z"}, "deceasedDateTime": "2016-01-01"}
    older = {"resourceType": "Patient", "id": "1", "meta": {"lastUpdated": "2020-06-01T00:30:00+02:00"}}
    for given in ((older, newer), (newer, older)):
        assert read_resources("Patient/1", [json.dumps(one).encode() for one in given]).dead


def test_two_versions_of_one_instant_are_told_apart_by_nothing() -> None:
    one = {"resourceType": "Patient", "id": "1", "meta": {"lastUpdated": "2020-06-01T00:30:00+02:00"}}
    other = {"resourceType": "Patient", "id": "1", "meta": {"lastUpdated": "2020-05-31T22:30:00.000Z"}, "gender": "female"}
    record = read_resources("Patient/1", [json.dumps(each).encode() for each in (one, other)])
    assert ["stands twice" in issue.text for issue in record.issues] == [True]


@pytest.mark.parametrize("step", ["scan", "kept", "rows"])
@pytest.mark.parametrize("left", [b"", b"\x00" * 40, b"{"])
def test_what_a_loss_of_power_left_of_a_step_is_done_again(tmp_path: Path, whole: dict[str, Json], step: str, left: bytes) -> None:
    export = write(tmp_path / "export", HERS)
    plan = planned(export, study=STUDY)

    def cut(step: str, done: int, total: int) -> None:
        if step == "write the rows":
            raise KeyboardInterrupt

    for which in ("json", "parquet" if step != "rows" else "ndjson"):
        with pytest.raises(KeyboardInterrupt):
            run(plan, OneProcess(), cut)
        (plan.work / step / f"000000.{which}").write_bytes(left)
    (plan.work / "patients.json").write_bytes(left)
    assert done(plan)[1] == whole


def test_where_small_numbers_are_hidden_no_number_of_what_was_not_read_is_told(tmp_path: Path) -> None:
    manifest, _ = result(tmp_path, [one | {"bodySite": "pelvis"} if BRACHYTHERAPY in json.dumps(one) else one for one in HERS])
    told = " ".join(without_numbers(manifest.counts))
    assert "could be read" in told
    assert not any(letter.isdigit() for letter in told)
