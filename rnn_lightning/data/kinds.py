"""The first bytes of some kinds of files, which tell the kind whatever the file's name says."""

GZIP = b"\x1f\x8b"
COMPRESSED = (GZIP, b"PK\x03\x04", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""The first bytes of gzip, zip, bzip2, xz and zstd files."""
PARQUET = b"PAR1"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""The first bytes of UTF-16 text."""
