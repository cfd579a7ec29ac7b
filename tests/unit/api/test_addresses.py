from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenfall.api.addresses import TrustedProxies, bucket_of, network, packed


@pytest.mark.parametrize(
    ("address", "octets"),
    [
        ("1.2.3.4", b"\x01\x02\x03\x04"),
        ("::1", bytes(15) + b"\x01"),
        ("::ffff:1.2.3.4", b"\x01\x02\x03\x04"),
        ("::FFFF:102:304", b"\x01\x02\x03\x04"),
        ("fe80::1%eth0", b"\xfe\x80" + bytes(13) + b"\x01"),
    ],
)
def test_address_is_packed_in_4_or_16_bytes(address: str, octets: bytes) -> None:
    assert packed(address) == octets


@pytest.mark.parametrize("text", ["", "1.2.3", "1.2.3.4:80", "1.2.3.256", "01.2.3.4", "::1::", "[::1]", "a", "\0", "é"])
def test_invalid_address_is_none(text: str) -> None:
    assert packed(text) is None


@pytest.mark.parametrize(
    ("address", "bucket"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("nonsense", "unknown"),
        ("", "unknown"),
    ],
)
def test_rate_limit_key_cannot_be_chosen_by_the_client(address: str, bucket: str) -> None:
    assert bucket_of(address) == bucket


@given(st.ip_addresses(v=6, network="2001:db8:7:8::/64"))
def test_ipv6_addresses_of_one_64_prefix_share_a_bucket(address: object) -> None:
    assert bucket_of(str(address)) == "2001:db8:7:8::/64"


@given(st.ip_addresses(v=4), st.ip_addresses(v=4))
def test_each_ipv4_address_has_its_own_bucket(one: object, other: object) -> None:
    assert (bucket_of(str(one)) == bucket_of(f"::ffff:{other}")) == (one == other)


PROXIES = ("10.0.0.0/8", "192.0.2.1", "2001:db8::/32")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "6.6.6.6, 203.0.113.5, 10.9.9.9, 192.0.2.1", "203.0.113.5"),
        ("::ffff:10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("2001:db8::7", " 203.0.113.5 ", "203.0.113.5"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.5, unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.5, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", ",", "10.0.0.1"),
        ("203.0.113.9", "1.1.1.1", "203.0.113.9"),
        ("192.0.2.2", "1.1.1.1", "192.0.2.2"),
        ("", "1.1.1.1", ""),
    ],
)
def test_forwarded_headers_are_trusted_only_from_proxies(peer: str, forwarded_for: str, client: str) -> None:
    assert TrustedProxies(PROXIES).client(peer, forwarded_for) == client


def test_forwarded_headers_are_ignored_without_trusted_proxies() -> None:
    assert TrustedProxies(()).client("10.0.0.1", "1.1.1.1") == "10.0.0.1"


@given(st.ip_addresses(v=4, network="8.0.0.0/6"), st.ip_addresses(v=4, network="8.0.0.0/6"), st.integers(0, 32))
def test_network_contains_the_same_addresses_as_ipaddress(address: object, base: object, length: int) -> None:
    text = f"{base}/{length}"
    trusted = TrustedProxies((text,)).client(str(address), "1.1.1.1") == "1.1.1.1"

    assert trusted == (ip_address(str(address)) in ip_network(text, strict=False))


def test_ipv6_network_contains_no_ipv4_address() -> None:
    assert TrustedProxies(("::/0",)).client("10.0.0.1", "1.1.1.1") == "10.0.0.1"
    assert TrustedProxies(("::/0",)).client("2001:db8::1", "1.1.1.1") == "1.1.1.1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/x",
        "10.0.0.0/+8",
        "10.0.0.0/1_6",
        "::/129",
        "::ffff:10.0.0.0/104",
    ],
)
def test_invalid_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        network(text)
