"""Forms as browsers send files (RFC 7578)."""

import re


def field(body: bytes, content_type: str, name: str) -> bytes:
    """The content of the field of that name. Raises ValueError if there is none."""
    boundary = re.search(r'boundary="?([^";,]+)', content_type)
    if boundary is not None:
        for part in (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())[1:]:
            head, found, content = part.partition(b"\r\n\r\n")
            wanted = re.search(rb'content-disposition:[^\r\n]*[; ]name="?([^";\r\n]*)', head, re.IGNORECASE)
            if found and wanted is not None and wanted[1] == name.encode():
                return content
    raise ValueError(f"the form has no field {name}")
