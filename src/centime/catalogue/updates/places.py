"""Where a public catalogue is read: a server, or a copy of it on this machine."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from centime.catalogue.web import read_answer
from centime.csv_files import parse
from centime.errors import UserError
from centime.input_files import read_input

MOST_BYTES = 2**28  # of one file; the largest, AWS's offers in every zone, has some tens of MB
PATIENCE_S = 20.0  # between two signs of the server
WHOLE_S = 300.0  # for one file


class Missing(Exception):
    """The place has no file of that name."""


@dataclass(frozen=True)
class CataloguePlace:
    """The address of a file, or of the folder above the files of a source: http(s)://..., or a path."""

    address: str
    mend: str  # ends a sentence: what to do when it cannot be read

    @property
    def remote(self) -> bool:
        """Whether a server is asked."""
        return self.address.startswith(("http://", "https://"))

    def read(self, name: str = "") -> str:
        """The text of the file, or of the one called `name` under it. Raises Missing, and UserError otherwise."""
        address = f"{self.address.rstrip('/')}/{name}" if name else self.address
        body = self._asked(address) if self.remote else self._opened(Path(address))
        try:
            return body.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise UserError(f"{address} is no text in UTF-8; {self.mend}.") from None

    def day(self) -> str:
        """The day that its prices are of: that of the copy, or today's of a server (ISO 8601, UTC)."""
        if self.remote:
            return datetime.datetime.now(datetime.UTC).date().isoformat()
        try:
            written = Path(self.address).stat().st_mtime
        except OSError:  # said when it is read
            written = 0.0
        return datetime.datetime.fromtimestamp(written, datetime.UTC).date().isoformat()

    def table(self, needed: tuple[str, ...], name: str = "") -> list[dict[str, str]]:
        """The rows of a CSV file with the `needed` columns. Raises Missing, and UserError for what is none."""
        address = f"{self.address.rstrip('/')}/{name}" if name else self.address
        head, lines = parse(self.read(name), address, self.mend)
        if not set(needed) <= set(head):
            found = ", ".join(head)[:60] or "nothing"
            raise UserError(f"{address} begins with {found!r}; expected the columns {', '.join(needed)}: {self.mend}.")
        wrong = next((number for number, fields in lines if len(fields) != len(head)), None)
        if wrong is not None:
            raise UserError(f"{address}, line {wrong} has not {len(head)} fields as the first has; {self.mend}.")
        return [dict(zip(head, fields, strict=True)) for _, fields in lines]

    def _opened(self, path: Path) -> bytes:
        if not path.exists() and path.parent != Path(self.address).parent:
            raise Missing
        return read_input(path, "a copy of the catalogue's file")

    def _asked(self, url: str) -> bytes:
        from http.client import HTTPException
        from urllib.error import HTTPError
        from urllib.request import Request, urlopen

        try:
            request = Request(url, headers={"User-Agent": "centime", "Accept-Encoding": "identity"})
            with urlopen(request, timeout=PATIENCE_S) as answer:
                return read_answer(answer, MOST_BYTES, WHOLE_S)
        except HTTPError as error:
            error.close()
            if error.code == 404 and url != self.address:
                raise Missing from None
            reason = f"it answered {error.code} {error.reason}".strip()
        except (HTTPException, OSError, ValueError) as error:
            inner = getattr(error, "reason", None) or error
            reason = "no answer in time" if isinstance(inner, TimeoutError) else str(inner) or type(inner).__name__
        raise UserError(f"{url} cannot be read ({reason.rstrip('.')}); {self.mend}.")
