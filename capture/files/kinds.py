"""What kind of file a picture is, by its first bytes; and the names of the kinds that are not read."""

from __future__ import annotations

from livemef.capture.files.jpeg import is_jpeg
from livemef.capture.files.png import SIGNATURE
from livemef.capture.files.tiff import is_tiff
from livemef.capture.files.webp import is_webp

RAW_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3fr", "arw", "cr2", "cr3", "crw", "dcr", "dng", "erf", "fff", "iiq", "k25", "kdc", "mef", "mos", "mrw"),
        *("nef", "nrw", "orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
    )
)
"""Of the cameras' own raw formats, and DNG."""
OTHER_SUFFIXES = RAW_SUFFIXES | {
    f".{name}"
    for name in (
        "avif",
        "bmp",
        "exr",
        "gif",
        "hdr",
        "heic",
        "heif",
        "jp2",
        "jxl",
        "mov",
        "mp4",
        "pdf",
        "pgm",
        "ppm",
        "psd",
    )
}
"""Suffixes of picture and video files that are not written as pictures."""
_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_OTHERS = (
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"8BPS", "a Photoshop document"),
    (b"v/1\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance HDR picture"),
    (b"#?RGBE", "a Radiance HDR picture"),
    (b"%PDF", "a PDF"),
    (b"\x1aE\xdf\xa3", "a video (Matroska)"),
    (b"P5", "a PGM"),
    (b"P6", "a PPM"),
    (b"<svg", "an SVG drawing"),
    (b"qoif", "a QOI"),
)


def kind_of(data: bytes, suffix: str = "") -> str:
    """One of "png", "jpeg", "webp", "tiff", "raw", "heif", "avif"; else a name with its article; "" if it is unknown.

    suffix: of the file's name, in lower case: raw files of many cameras are TIFF files with a thumbnail in front.
    """
    if data[4:8] == b"ftyp":
        return _base_media(data[8:12])
    if suffix in RAW_SUFFIXES or data.startswith(_RAW_STARTS) or (data[8:10] == b"CR" and is_tiff(data)):
        return "raw"
    for kind, matches in (("png", data.startswith(SIGNATURE)), ("jpeg", is_jpeg(data)), ("webp", is_webp(data))):
        if matches:
            return kind
    if is_tiff(data):
        return "tiff"
    return next((name for start, name in _OTHERS if data.startswith(start)), "")


def _base_media(brand: bytes) -> str:
    """ISO 14496-12: by its major brand."""
    if brand in _HEIF_BRANDS:
        return "heif"
    if brand in (b"avif", b"avis"):
        return "avif"
    if brand == b"crx ":
        return "raw"
    return "a video" if brand != b"jxl " else "a JPEG XL"
