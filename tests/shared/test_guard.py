"""Where a token may go, and which base URLs are none."""

from __future__ import annotations

import pytest

from shared.fhir.guard import fhir_base, on_same_base
from shared.fhir.outcome import NotFhir, Refused


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("https://ehr.example.org/fhir/", "https://ehr.example.org/fhir"),
        ("HTTPS://EHR.Example.org:443/fhir", "https://ehr.example.org/fhir"),
        ("http://127.0.0.1:8080/fhir", "http://127.0.0.1:8080/fhir"),
        ("http://[::1]:8080/fhir", "http://[::1]:8080/fhir"),
        ("https://klinik-köln.example/r4", "https://xn--klinik-kln-lcb.example/r4"),
    ],
)
def test_se08_a_base_url_has_one_form(given: str, meant: str) -> None:
    assert str(fhir_base(given, with_token=True)) == meant


@pytest.mark.parametrize(
    "given",
    [
        "",
        "ehr.example.org/fhir",
        "ftp://ehr.example.org/fhir",
        "https:///fhir",
        "https://user:word@ehr.example.org/fhir",
        "https://ehr.example.org/fhir?tenant=1",
        "https://ehr.example.org/fhir#x",
        "https://ehr.example.org\\@evil.test/fhir",
        "https://ehr.example.org/fhir/../x",
        "https://ehr.example.org/%2e%2e/x",
        "https://ehr.example.org/a%2fb",
        "https://ehr.example.org/\tfhir",
        "https://ehr.example.org:99999/fhir",
    ],
)
def test_se08_what_can_be_read_in_two_ways_is_refused(given: str) -> None:
    with pytest.raises(Refused):
        fhir_base(given)


@pytest.mark.parametrize("host", ["ehr.example.org", "10.0.0.7", "2130706433", "127.1", "localhost.evil.test"])
def test_se10_a_token_goes_over_plain_http_to_this_machine_only(host: str) -> None:
    assert str(fhir_base(f"http://{host}/fhir"))
    with pytest.raises(Refused, match="plain http"):
        fhir_base(f"http://{host}/fhir", with_token=True)


def test_fc02_a_next_link_goes_out_as_it_came() -> None:
    base = fhir_base("https://ehr.example.org/fhir")
    for link in ("https://ehr.example.org/fhir?_getpages=1%7C2&x=a+b", "https://EHR.example.org/fhir/Patient?page=%C3%BC%2f"):
        assert str(on_same_base(base, link)) == link


@pytest.mark.parametrize("link", ["https://ehr.example.org/fhirx/Patient", "https://ehr.example.org", "//evil.test/fhir", "mailto:x"])
def test_se09_a_link_elsewhere_is_not_followed(link: str) -> None:
    with pytest.raises(NotFhir):
        on_same_base(fhir_base("https://ehr.example.org/fhir"), link)
