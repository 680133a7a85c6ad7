"""Kinds of files by their first bytes, whatever their names say."""

GZIP = b"\x1f\x8b"
COMPRESSED = (GZIP, b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""How files of gzip, zip, bzip2, xz and zstd begin."""
PARQUET = b"PAR1"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""How texts in UTF-16 begin."""
