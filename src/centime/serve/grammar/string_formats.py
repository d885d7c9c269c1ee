"""What JSON schema's `format` stands for, as patterns; one that is not listed is refused.

Each fits texts that RFC 3339, RFC 4122, RFC 5321, RFC 1123, RFC 2673, RFC 4291, RFC 3986 and ISO 8601 allow, not all of
them: an e-mail address without quotes, an IPv6 address in full.
"""

from __future__ import annotations

_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_DATE = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
_HOUR = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_HOUR}:[0-5][0-9](?:\.[0-9]{{1,9}})?(?:Z|[+-]{_HOUR})"
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL}){{0,5}}"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_PATH = "(?:/[A-Za-z0-9._~-]*)*"
_URI = (
    rf"https?://{_HOST}(?::[1-9][0-9]{{0,3}})?{_PATH}"
    r"(?:\?[A-Za-z0-9._~=&+-]*)?(?:#[A-Za-z0-9._~-]*)?"
)
_AMOUNT = "[0-9]{1,9}"
_CLOCK = f"T(?:{_AMOUNT}H(?:{_AMOUNT}M(?:{_AMOUNT}S)?)?|{_AMOUNT}M(?:{_AMOUNT}S)?|{_AMOUNT}S)"
_DAYS = f"(?:{_AMOUNT}Y(?:{_AMOUNT}M(?:{_AMOUNT}D)?)?|{_AMOUNT}M(?:{_AMOUNT}D)?|{_AMOUNT}D)"

PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": f"P(?:{_AMOUNT}W|{_DAYS}(?:{_CLOCK})?|{_CLOCK})",
    "uuid": "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "email": rf"[A-Za-z0-9_+-]{{1,32}}(?:\.[A-Za-z0-9_+-]{{1,16}}){{0,1}}@{_LABEL}(?:\.{_LABEL}){{1,3}}",
    "hostname": _HOST,
    "ipv4": rf"{_BYTE}(?:\.{_BYTE}){{3}}",
    "ipv6": "[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}",
    "uri": _URI,
}
# OpenAPI's, which bound a number, or say nothing that its text could break.
RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1), "float": None, "double": None}
SAY_NOTHING = {"password"}  # of a string
