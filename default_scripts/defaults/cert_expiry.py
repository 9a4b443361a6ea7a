# /// script
# requires-python = ">=3.9"
# dependencies = []
# [tool.gatewright]
# title = "Certificate expiry"
# description = "Certificates in a file: days left, order of the chain, weak keys and hashes, names"
# kind = "utility"
# entrypoint = "main"
# tags = ["security"]
# [tool.gatewright.params.certificates]
# type = "file"
# help = "PEM, DER or PKCS #7; documents/samples/gateway_certificates.pem is one to try"
# [tool.gatewright.params.warn]
# type = "int"
# default = 60
# help = "say so if fewer days than that are left"
# [tool.gatewright.params.host]
# type = "str"
# default = ""
# help = "a host name or address that the first certificate has to be good for"
# [tool.gatewright.params.today]
# type = "str"
# default = ""
# help = "YYYY-MM-DD instead of today"
# ///
"""What a file of X.509 certificates says: until when they are good, and what is wrong with them.

Read are PEM (any number of certificates, other text between them), DER (one or several, one behind the other) and
PKCS #7 (.p7b, .p7c) in either form. A keystore (.pfx, .p12, .jks) is encrypted; its certificates can be exported by
``openssl pkcs12 -in ssl.pfx -nokeys`` or ``keytool -exportcert -rfc``. Private keys are not read, only noticed.

Servers send a chain: their own certificate, then each one's issuer, without the root. Signatures are not checked: that
a certificate names an issuer does not prove that it comes from there.
"""

import base64
import binascii
import datetime
import hashlib
import ipaddress
import re
import sys
import textwrap

UTC = datetime.timezone.utc
MAX_CERTIFICATES = 2_000
MAX_PARTS = 10_000
SAID = 3
"""Sentences about a file without a certificate that can be read."""

LISTED = 20
"""From more certificates those with problems are listed."""

PEM = re.compile(rb"-----BEGIN ([A-Z0-9 #]{1,40})-----([^-]*)-----END \1-----")
CERTIFICATE_LABELS = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")

SEQUENCE, SET, INTEGER, BIT_STRING, OID, OCTETS, BOOLEAN = 0x30, 0x31, 0x02, 0x03, 0x06, 0x04, 0x01
SIGNED_DATA = "1.2.840.113549.1.7.2"

PARTS_OF_NAMES = {
    "2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.25": "DC", "1.2.840.113549.1.9.1": "E",
}  # fmt: skip
SIGNATURES = {
    "1.2.840.113549.1.1.2": "RSA with MD2", "1.2.840.113549.1.1.4": "RSA with MD5",
    "1.2.840.113549.1.1.5": "RSA with SHA-1", "1.2.840.113549.1.1.10": "RSA-PSS",
    "1.2.840.113549.1.1.11": "RSA with SHA-256", "1.2.840.113549.1.1.12": "RSA with SHA-384",
    "1.2.840.113549.1.1.13": "RSA with SHA-512", "1.2.840.113549.1.1.14": "RSA with SHA-224",
    "1.2.840.10040.4.3": "DSA with SHA-1", "2.16.840.1.101.3.4.3.2": "DSA with SHA-256",
    "1.2.840.10045.4.1": "ECDSA with SHA-1", "1.2.840.10045.4.3.1": "ECDSA with SHA-224",
    "1.2.840.10045.4.3.2": "ECDSA with SHA-256", "1.2.840.10045.4.3.3": "ECDSA with SHA-384",
    "1.2.840.10045.4.3.4": "ECDSA with SHA-512", "1.3.101.112": "Ed25519", "1.3.101.113": "Ed448",
}  # fmt: skip
RSA_KEY, EC_KEY, DSA_KEY = "1.2.840.113549.1.1.1", "1.2.840.10045.2.1", "1.2.840.10040.4.1"
CURVES = {
    "1.2.840.10045.3.1.1": ("P-192", 192), "1.3.132.0.33": ("P-224", 224), "1.2.840.10045.3.1.7": ("P-256", 256),
    "1.3.132.0.34": ("P-384", 384), "1.3.132.0.35": ("P-521", 521), "1.3.132.0.10": ("secp256k1", 256),
    "1.3.36.3.3.2.8.1.1.7": ("brainpoolP256r1", 256), "1.3.36.3.3.2.8.1.1.11": ("brainpoolP384r1", 384),
}  # fmt: skip
OTHER_KEYS = {"1.3.101.112": "Ed25519", "1.3.101.113": "Ed448", "1.3.101.110": "X25519"}
ALT_NAMES, CONSTRAINTS, KEY_ID, ISSUER_KEY_ID = "2.5.29.17", "2.5.29.19", "2.5.29.14", "2.5.29.35"


class Malformed(ValueError):
    """The bytes are no DER, or no certificate."""


def main(certificates, warn: int = 60, host: str = "", today: str = ""):
    """Read ``certificates`` and say what is wrong with them."""
    now = day_of(today)
    data = certificates.read()
    print(f"Reading {certificates.name}, {len(data):,} bytes")
    blocks, notes = blocks_of(data)
    found = []
    for number, block in enumerate(blocks[:MAX_CERTIFICATES], 1):
        try:
            found.append(certificate(block))
        except Malformed as error:
            notes.append(f"Certificate {number} cannot be read: {error}.")
    if len(blocks) > MAX_CERTIFICATES:
        notes.append(f"Only the first {MAX_CERTIFICATES:,} of {len(blocks):,} certificates were read.")
    if not found:
        more = [f"There are {len(notes) - SAID:,} more of this kind."] if notes[SAID:] else []
        raise SystemExit(" ".join(notes[:SAID] + more))
    chain = chain_of(found)
    for each in found:
        each["days_left"] = (each["not_after"] - now).days
        each["problems"] = list(problems_of(each, now, warn))
    if host:
        found[0]["problems"] += host_problem(found[0], host)
    report = {
        "file": certificates.name,
        "today": now.strftime("%Y-%m-%d"),
        "certificates": [shown(each) for each in found],
        "chain": chain,
        "notes": notes,
        "days_left": min((each["days_left"] for each in found), default=None),
        "problems": sum(len(each["problems"]) for each in found) + len(notes) + len(chain["problems"]),
    }
    print_report(report)
    return report


def day_of(text):
    """The time to compare with."""
    if not text.strip():
        return datetime.datetime.now(UTC)
    try:
        return datetime.datetime.strptime(text.strip(), "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise SystemExit(f"today has to be a date such as 2026-11-20, not {text!r}.") from None


# -- containers --------------------------------------------------------------------------------------------------------


def blocks_of(data):
    """The certificates in a file as DER, and what else is to be said about it."""
    blocks, notes = [], []
    if b"-----BEGIN " not in data:
        take_der(data, blocks, notes)
    for label, text in PEM.findall(data):
        if label not in CERTIFICATE_LABELS and label not in (b"PKCS7", b"CMS"):
            if label.endswith(b"PRIVATE KEY"):
                notes.append("There is a private key in this file: keep it away from where certificates are handed on.")
            continue
        try:
            der = base64.b64decode(b"".join(text.split()), validate=True)
        except binascii.Error:
            notes.append(f"A block {label.decode()} is no base64 text.")
            continue
        take_der(der, blocks, notes, only_first=label == b"TRUSTED CERTIFICATE")
    if not blocks and (not notes or b"-----BEGIN " in data):
        notes.insert(0, "There is no certificate in this file.")
    return blocks, notes


def take_der(data, blocks, notes, *, only_first=False):
    """Add the certificates that stand in DER."""
    at = 0
    while at < len(data) and len(blocks) <= MAX_CERTIFICATES:
        if at and data[at] in b"\r\n\0 ":
            return
        try:
            start, stop = sequence_at(data, at)
            inner = children(data, start, stop)
            if inner and inner[0][0] == OID:
                blocks += certificates_in(data, inner)
            elif inner and inner[0][0] == INTEGER:
                notes.append(
                    "This is a keystore or a key, no certificate: export with openssl pkcs12 -in FILE -nokeys."
                )
            else:
                blocks.append(data[at:stop])
        except Malformed as error:
            notes.append(what_it_is(data, at) or f"What stands at byte {at:,} is no certificate: {error}.")
            return
        at = stop
        if only_first:
            return


def what_it_is(data, at):
    """A sentence about a file of another kind."""
    if data[:4] == b"\xfe\xed\xfe\xed":
        return "This is a Java keystore: export with keytool -exportcert -rfc."
    if at == 0 and data[:1] != b"0":
        return "There is no certificate in this file. PEM, DER and PKCS #7 are read."
    return None


def certificates_in(data, content):
    """The certificates of a PKCS #7 message (RFC 2315, section 9.1)."""
    if oid(data, content[0]) != SIGNED_DATA or len(content) < 2 or content[1][0] != 0xA0:
        raise Malformed("a PKCS #7 message without certificates")
    signed = only(data, content[1], SEQUENCE)
    for part in children(data, *signed[1:])[3:]:
        if part[0] == 0xA0:
            starts = [part[1], *(stop for _, _, stop in children(data, *part[1:]))]
            return [data[a:b] for a, b in zip(starts, starts[1:])]  # noqa: B905, RUF007  not in Python 3.9
    return []


# -- DER (X.690) -------------------------------------------------------------------------------------------------------


def element(data, at, end):
    """Tag, first byte and end of the content of the element at ``at``, all of it before ``end``."""
    if at + 2 > end:
        raise Malformed("it ends too early")
    tag, size, start = data[at], data[at + 1], at + 2
    if tag & 0x1F == 0x1F:
        raise Malformed("a tag that certificates do not have")
    if size & 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4 or start + count > end:
            raise Malformed("a length that DER does not have")
        size, start = int.from_bytes(data[start : start + count], "big"), start + count
    if start + size > end:
        raise Malformed("it is cut off")
    return tag, start, start + size


def children(data, start, stop):
    """The elements in a content."""
    found = []
    while start < stop:
        found.append(element(data, start, stop))
        start = found[-1][2]
        if len(found) > MAX_PARTS:
            raise Malformed("it has more parts than a certificate has")
    return found


def only(data, parent, tag):
    """The first child of an element, which must be of that kind."""
    found = element(data, *parent[1:])
    if found[0] != tag:
        raise Malformed("a part of another kind than expected")
    return found


def oid(data, each):
    """An object identifier with dots."""
    if each[0] != OID or not 1 <= each[2] - each[1] <= 64:
        raise Malformed("no object identifier where one has to be")
    numbers, value = [], 0
    for byte in data[each[1] : each[2]]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    if not numbers:
        raise Malformed("an object identifier without an end")
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first, *numbers[1:]]))


def text_of(data, each):
    """A string of any of the kinds in names, safe to print."""
    raw = data[each[1] : each[2]][:400]
    encoding = {0x1E: "utf-16-be", 0x1C: "utf-32-be", 0x14: "latin-1"}.get(each[0], "utf-8")
    return "".join(letter if letter.isprintable() else "?" for letter in raw.decode(encoding, "replace"))


def time_of(data, each):
    """UTCTime or GeneralizedTime (RFC 5280, section 4.1.2.5)."""
    text = data[each[1] : each[2]].decode("ascii", "replace")
    if each[0] == 0x17 and len(text) == 13:
        text = ("19" if text[0] >= "5" else "20") + text
    try:
        return datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Malformed("a date that is none") from None


# -- certificates (RFC 5280) -------------------------------------------------------------------------------------------


def certificate(data):
    """What counts of one certificate."""
    try:
        outer = children(data, *sequence_at(data, 0))
        fields = children(data, *outer[0][1:])
        if fields[0][0] == 0xA0:
            del fields[0]  # the version
        serial, _, issuer, validity, subject, key = fields[:6]
        begin, end = children(data, *validity[1:])
        found = {
            "subject": name_of(data, subject),
            "issuer": name_of(data, issuer),
            "serial": data[serial[1] : serial[2]].hex()[:80],
            "not_before": time_of(data, begin),
            "not_after": time_of(data, end),
            "signature": signature_of(data, outer[1]),
            "names": [],
            "ca": False,
            "sha256": hashlib.sha256(data).hexdigest(),
            "raw": (data[subject[1] : subject[2]], data[issuer[1] : issuer[2]]),
            "ids": {},
            **key_of(data, key),
        }
        for each in fields[6:]:
            if each[0] == 0xA3:
                extensions(data, only(data, each, SEQUENCE), found)
    except (IndexError, ValueError) as error:
        raise error if isinstance(error, Malformed) else Malformed("parts are missing") from None
    found["self_signed"] = found["raw"][0] == found["raw"][1]
    return found


def sequence_at(data, at):
    """First byte and end of a sequence's content."""
    tag, start, stop = element(data, at, len(data))
    if tag != SEQUENCE:
        raise Malformed("it does not begin as a certificate does")
    return start, stop


def name_of(data, each):
    """A name as ``CN=gw-01, O=Plant``."""
    parts = []
    for group in children(data, *each[1:]):
        for pair in children(data, *group[1:]):
            kind, value = children(data, *pair[1:])[:2]
            parts.append(f"{PARTS_OF_NAMES.get(oid(data, kind), oid(data, kind))}={text_of(data, value)}")
    return ", ".join(reversed(parts)) or "(no name)"


def signature_of(data, each):
    kind = oid(data, children(data, *each[1:])[0])
    return SIGNATURES.get(kind, kind)


def key_of(data, each):
    """Kind and size of the public key."""
    algorithm, bits = children(data, *each[1:])[:2]
    kind, *params = children(data, *algorithm[1:])
    kind = oid(data, kind)
    if kind == RSA_KEY:
        numbers = children(data, *element(data, bits[1] + 1, bits[2])[1:])
        size = int.from_bytes(data[numbers[0][1] : numbers[0][2]][:4096], "big").bit_length()
        return {"key": f"RSA {size}", "key_bits": size, "key_kind": "RSA"}
    if kind == EC_KEY:
        curve = oid(data, params[0]) if params and params[0][0] == OID else "curve of its own"
        name, size = CURVES.get(curve, (curve, None))
        return {"key": f"EC {name}", "key_bits": size, "key_kind": "EC"}
    if kind == DSA_KEY:
        return {"key": "DSA", "key_bits": None, "key_kind": "DSA"}
    return {"key": OTHER_KEYS.get(kind, kind), "key_bits": None, "key_kind": OTHER_KEYS.get(kind, "other")}


def extensions(data, parent, found):
    """Note the extensions that count."""
    for each in children(data, *parent[1:]):
        parts = children(data, *each[1:])
        kind, value = oid(data, parts[0]), parts[-1]
        if kind == ALT_NAMES:
            names = children(data, *only(data, value, SEQUENCE)[1:])
            found["names"] = [name for name in (alt_name(data, part) for part in names[:1000]) if name]
        elif kind == CONSTRAINTS:
            inner = children(data, *only(data, value, SEQUENCE)[1:])
            found["ca"] = bool(inner) and inner[0][0] == BOOLEAN and data[inner[0][1]] != 0
        elif kind == KEY_ID:
            start, stop = only(data, value, OCTETS)[1:]
            found["ids"]["own"] = data[start:stop]
        elif kind == ISSUER_KEY_ID:
            for part in children(data, *only(data, value, SEQUENCE)[1:]):
                if part[0] == 0x80:
                    found["ids"]["issuer"] = data[part[1] : part[2]]


def alt_name(data, each):
    """A name that the certificate is good for: a host, an address, an application's URI."""
    tag, start, stop = each
    if tag == 0x87:
        try:
            return str(ipaddress.ip_address(data[start:stop]))
        except ValueError:
            return None
    return text_of(data, each) if tag in (0x81, 0x82, 0x86) else None


# -- judgement ---------------------------------------------------------------------------------------------------------


def problems_of(each, now, warn):
    """What is wrong with a certificate, as sentences."""
    if each["not_after"] < now:
        yield f"expired {(now - each['not_after']).days:,} days ago"
    elif each["days_left"] < warn:
        yield f"expires in {each['days_left']:,} days"
    if each["not_before"] > now:
        yield f"not valid before {each['not_before']:%Y-%m-%d}"
    if each["key_kind"] == "RSA" and each["key_bits"] < 2048:
        yield f"weak key: {each['key']}, 2048 bits are the least"
    if each["key_kind"] == "DSA" or (each["key_kind"] == "EC" and (each["key_bits"] or 256) < 224):
        yield f"weak key: {each['key']}"
    if each["signature"].endswith(("MD2", "MD5", "SHA-1")) and not (each["self_signed"] and each["ca"]):
        yield f"weak signature: {each['signature']}"
    if not each["ca"] and not each["names"]:
        yield "no subjectAltName: browsers and OPC UA clients refuse it"


def host_problem(each, host):
    """Nothing if the certificate is good for the host (RFC 6125: a star stands for one label, the first)."""
    wanted = host.strip().lower().rstrip(".")
    for name in each["names"]:
        name = name.lower()
        if name == wanted or (name.startswith("*.") and wanted.partition(".")[2] == name[2:]):
            return []
    return [f"not good for {host}"]


def chain_of(found):
    """How the certificates hang together: who issued whom, and whether they stand in the order that servers send."""
    issuers = {}
    by_subject = {}
    for index, each in enumerate(found):
        by_subject.setdefault(each["raw"][0], []).append(index)
    for index, each in enumerate(found):
        wanted = each["ids"].get("issuer")
        for candidate in by_subject.get(each["raw"][1], [])[:20]:
            own = found[candidate]["ids"].get("own")
            if not each["self_signed"] and candidate != index and (wanted is None or own is None or wanted == own):
                issuers[index] = candidate
                break
    ends = [index for index in range(len(found)) if index not in set(issuers.values())]
    way = ends[:1]
    while way and way[-1] in issuers and issuers[way[-1]] not in way:
        way.append(issuers[way[-1]])
    if len(found) < 2 or len(way) != len(found):
        kind = "one certificate" if len(found) == 1 else "none" if not found else "a collection, no single chain"
        return {"kind": kind, "in_order": None, "order": [], "missing": None, "problems": []}
    last = found[way[-1]]
    problems = []
    if way != list(range(len(found))):
        order = ", ".join(str(index + 1) for index in way)
        problems.append(f"The chain is out of order; servers have to send it as {order}.")
    missing = None if last["self_signed"] else last["issuer"]
    return {
        "kind": "chain",
        "in_order": not problems,
        "order": [i + 1 for i in way],
        "missing": missing,
        "problems": problems,
    }


def shown(each):
    """A certificate as plain data."""
    report = {key: value for key, value in each.items() if key not in ("raw", "ids", "key_kind")}
    report.update({key: f"{each[key]:%Y-%m-%d %H:%M}" for key in ("not_before", "not_after")})
    return report


def print_report(report):
    many = len(report["certificates"]) > LISTED
    if many:
        print(f"{len(report['certificates']):,} certificates; those with problems:")
    for number, each in enumerate(report["certificates"], 1):
        if many and not each["problems"]:
            continue
        left = f"{each['days_left']:,} days left" if each["days_left"] >= 0 else "over"
        print(f"\n{number}. {each['subject'][:74]}")
        print(f"   issued by  {'itself' if each['self_signed'] else each['issuer'][:64]}")
        print(f"   valid      {each['not_before']} to {each['not_after']} UTC, {left}")
        print(f"   key        {each['key']}, signed by {each['signature']}{', may issue others' * each['ca']}")
        if each["names"]:
            names = ", ".join(each["names"][:8]) + (", ..." if len(each["names"]) > 8 else "")
            print(f"   names      {names[:200]}")
        for problem in each["problems"]:
            print(f"   !          {problem}")
    print()
    chain = report["chain"]
    for sentence in [*report["notes"], *chain["problems"]]:
        print(textwrap.fill(f"! {sentence}", 80, subsequent_indent="  "))
    if chain["kind"] == "chain" and chain["in_order"]:
        print("The chain is in order.")
    if chain["missing"]:
        print(f"Its last certificate was issued by {chain['missing'][:60]},\nwhich clients need to know.")
    if not report["problems"]:
        print("Nothing is wrong with them.")


class Local:
    """A file named on the command line, as a run gets it."""

    def __init__(self, path):
        self.name = path

    def read(self):
        with open(self.name, "rb") as file:
            return file.read()


if __name__ == "__main__":  # python3 cert_expiry.py certificates.pem
    main(Local(sys.argv[1]))
