"""Kinds of files by their first bytes, whatever their names say."""

GZIP = b"\x1f\x8b"
COMPRESSED = (GZIP, b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""The first bytes of gzip, zip, bzip2, xz and zstd files."""
PARQUET = b"PAR1"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""The first bytes of text in UTF-16."""
