"""Where a token may go, and which base URLs are none."""

from __future__ import annotations

import pytest

from shared.fhir.guard import Reach, fhir_base, on_same_base
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


PRIVATE = [
    "10.0.0.7",
    "172.16.0.1",
    "192.168.1.1",
    "127.0.0.1",
    "169.254.1.1",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "fe80::1%eth0",
    "fc00::1",
    "fec0::1",
    "fec0:0:0:ffff::1",
]
WRAPPED = [
    "::ffff:10.0.0.7",
    "64:ff9b::10.0.0.7",
    "2002:0a00:0007::1",
    "::10.0.0.7",
    "::8.8.8.8",
    "64:ff9b:1::10.0.0.7",
    "64:ff9b:1:a00:7::8.8.8.8",
    "::ffff:0:10.0.0.7",
]
METADATA = [
    "169.254.169.254",
    "168.63.129.16",
    "192.0.0.192",
    "::ffff:169.254.169.254",
    "::ffff:168.63.129.16",
    "64:ff9b::192.0.0.192",
    "::169.254.169.254",
    "64:ff9b:1::168.63.129.16",
    "2002:a9fe:a9fe::1",
    "fd00:ec2::254",
    "100.100.100.200",
]


@pytest.mark.parametrize("address", [*PRIVATE, *WRAPPED, *METADATA, "no address"])
def test_se09_only_public_addresses_are_in_reach_unless_the_settings_say_more(address: str) -> None:
    assert not Reach().allows(address)
    assert Reach().allows("8.8.8.8")
    assert Reach().allows("2001:4860:4860::8888")


def test_se09_a_network_in_the_settings_and_an_address_in_the_base_are_in_reach_and_no_other() -> None:
    reach = Reach(["10.20.0.0/16"], ["http://192.168.7.7:8080/fhir", "http://localhost/fhir", "https://ehr.example.org/fhir"])
    assert all(map(reach.allows, ("10.20.3.4", "::ffff:10.20.3.4", "192.168.7.7", "127.0.0.1", "::1")))
    assert not any(map(reach.allows, ("10.21.0.1", "192.168.7.8", "169.254.1.1")))


def test_se09_a_translation_prefix_of_the_house_is_in_reach_where_the_settings_name_it() -> None:
    """RFC 8215: what stands behind 64:ff9b:1::/48 is known to those who have set it up, and to nobody else."""
    reach = Reach(["64:ff9b:1::/48"])
    assert reach.allows("64:ff9b:1::10.0.0.7")
    assert not reach.allows("64:ff9b:1::169.254.169.254")


@pytest.mark.parametrize("address", METADATA)
def test_se09_no_setting_opens_the_way_to_a_cloud_s_metadata(address: str) -> None:
    assert not Reach(["0.0.0.0/0", "::/0"]).allows(address)


def test_se09_what_is_no_network_is_refused_naming_the_setting() -> None:
    with pytest.raises(Refused, match="FIGARO_FHIR_NETWORKS"):
        Reach(["10.20.0.1/16"])
