"""TIFF (6.0 and BigTIFF): judged by its tags, then read rightly or refused by name.

tifffile reads the tags and decodes; what it has no codec for goes to OpenCV (libtiff) if that is a kind it reads right.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from livemef.capture.errors import CaptureError
from livemef.capture.files.exif import NO_EXIF, Exif, exif_of_tags
from livemef.capture.files.opencv_log import quiet_opencv
from livemef.capture.frame import Pixels

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED, _YCBCR = 0, 1, 2, 3, 5, 6
_PHOTOMETRICS = {
    4: "a transparency mask",
    8: "CIE L*a*b* colours",
    9: "ICC L*a*b* colours",
    10: "ITU L*a*b* colours",
    32844: "a radiance map (LogL)",
    32845: "a radiance map (LogLuv)",
    51177: "a depth map",
}
_RAW = frozenset({32803, 34892})
"""Colour filter array, and linear raw: of DNG and the cameras' own formats."""
_LZW = 5
_JPEG = frozenset({6, 7})
_DEFLATE = frozenset({8, 32946})
_MASK, _REDUCED = 4, 1
"""Bits of NewSubfileType."""
_PLAIN_CODECS = frozenset({1, 8, 32946, 34925})
"""Compressions that every tifffile decodes without imagecodecs: none, deflate, LZMA."""
_PLAIN_BITS = frozenset({1, 8, 16})
_MOST_PAGES, _MOST_TAGS, _MOST_SAMPLES = 1000, 1000, 16
_EXIF_IFD, _ICC, _DNG_VERSION = 34665, 34675, 50706


@dataclass(frozen=True)
class TiffPicture:
    """Pixels (BGR, or CMYK as height x width x 4 where `cmyk`), not yet rotated or converted, and what the tags say."""

    pixels: Pixels
    cmyk: bool
    exif: Exif
    icc: bytes
    notes: tuple[str, ...]


def is_tiff(data: bytes) -> bool:
    """Do the bytes begin as a TIFF or BigTIFF does?"""
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _judge_directories(data: bytes) -> None:
    """Walk the chain of image file directories. Raises CaptureError for one that is damaged or has no end.

    A few bytes can claim millions of tags and pages, which take minutes to be refused one by one.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    count_format, offset_format, entry = ("Q", "Q", 20) if big else ("H", "I", 12)
    count_size = struct.calcsize(count_format)
    seen: set[int] = set()
    try:
        offset = struct.unpack_from(order + offset_format, data, 8 if big else 4)[0]
        while offset:
            count = struct.unpack_from(order + count_format, data, offset)[0]
            if offset in seen or len(seen) >= _MOST_PAGES or count > _MOST_TAGS:
                raise CaptureError("damaged (the TIFF's directories make no sense)")
            seen.add(offset)
            offset = struct.unpack_from(order + offset_format, data, offset + count_size + entry * count)[0]
    except (struct.error, OverflowError):
        raise CaptureError("truncated (a directory of the TIFF lies behind its end)") from None


def read_tiff(data: bytes, max_pixels: int) -> TiffPicture:
    """The largest picture of the file that is no thumbnail and no mask. Raises CaptureError, in a few words."""
    import tifffile

    _judge_directories(data)
    with _quiet() as complaints:
        try:
            with tifffile.TiffFile(BytesIO(data)) as file:
                pages = [page for page in file.pages if isinstance(page, tifffile.TiffPage)]
                if complaints.cut_off:  # the tag that was lost may say what the samples are
                    raise CaptureError("truncated (tags of the TIFF lie behind its end)")
                return _read(data, pages, max_pixels)
        except (CaptureError, MemoryError):
            raise
        except Exception as error:
            # tifffile meets damage with nearly any exception
            raise CaptureError(f"not a whole TIFF picture ({_words(error)})") from None


def tiff_exif(data: bytes) -> Exif:
    """What the tags of the picture that `read_tiff` reads say; nothing where they are damaged."""
    import tifffile

    with _quiet():
        try:
            _judge_directories(data)
            with tifffile.TiffFile(BytesIO(data)) as file:
                return _exif(_main_page([page for page in file.pages if isinstance(page, tifffile.TiffPage)])[0])
        except Exception:
            return NO_EXIF


def raw_kind(data: bytes) -> str:
    """What camera raw file a TIFF is: "DNG", "camera RAW"; "" for a plain picture or nothing that can be read."""
    import tifffile

    with _quiet():
        try:
            _judge_directories(data)
            with tifffile.TiffFile(BytesIO(data)) as file:
                pages = [page for page in file.pages if isinstance(page, tifffile.TiffPage)]
                if any(_DNG_VERSION in page.tags for page in pages):
                    return "DNG"
                inner = [sub for page in pages for sub in (page.pages or ())]
                photometrics = {getattr(page, "photometric", None) for page in (*pages, *inner)}
                return "camera RAW" if {_value(p) for p in photometrics} & _RAW else ""
        except Exception:
            return ""


def _main_page(pages: list[Any]) -> tuple[Any, int]:
    """The largest page that is no thumbnail and no mask, and how many such pages there are.

    The pages within pages (SubIFDs) count only where no page itself is whole: in others they are smaller copies.
    """
    sized = _sized(pages)
    whole = _whole(sized) or _whole(_sized([inner for page in sized for inner in page.pages or ()])) or sized
    if not whole:
        raise CaptureError("not a whole TIFF picture (it holds none)")
    return max(whole, key=lambda page: page.imagewidth * page.imagelength), len(whole)


def _sized(pages: list[Any]) -> list[Any]:
    return [
        page
        for page in pages
        if isinstance(getattr(page, "imagewidth", None), int) and isinstance(getattr(page, "imagelength", None), int)
    ]


def _whole(pages: list[Any]) -> list[Any]:
    return [page for page in pages if not _value(page.subfiletype) & (_REDUCED | _MASK)]


def _read(data: bytes, pages: list[Any], max_pixels: int) -> TiffPicture:
    page, whole = _main_page(pages)
    _judge(data, page, max_pixels)
    samples = _decoded(data, page, page is pages[0])
    read = f"page {pages.index(page) + 1}" if page in pages else "the largest"
    notes = (f"holds {whole} pages; {read} was read",) if whole > 1 else ()
    cmyk = _value(page.photometric) == _SEPARATED
    pixels = samples if cmyk else _bgr(samples)
    icc = page.tags.valueof(_ICC, default=b"") or b""
    return TiffPicture(np.ascontiguousarray(pixels), cmyk, _exif(page), bytes(icc), notes)


def _judge(data: bytes, page: Any, max_pixels: int) -> None:
    """Raises CaptureError for a page that cannot be read as what it is."""
    photometric, bits, sample = _value(page.photometric), page.bitspersample, _value(page.sampleformat)
    if photometric in _RAW:
        raise CaptureError("holds a camera's raw data, not a picture")
    if photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED, _YCBCR):
        raise CaptureError(
            f"holds {_PHOTOMETRICS.get(photometric, f'colours of kind {photometric}')}: 8- or 16-bit "
            "grey or RGB can be used"
        )
    if sample not in (1, 4) or bits not in (1, 2, 4, 8, 10, 12, 14, 16):
        kind = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}.get(sample, "unsigned")
        raise CaptureError(f"has {bits}-bit {kind} samples; 8- and 16-bit pictures can be used")
    if page.samplesperpixel > _MOST_SAMPLES:
        raise CaptureError(f"has {page.samplesperpixel} samples a pixel, not those of a grey or RGB picture")
    if page.imagedepth > 1:
        raise CaptureError("holds a volume, not a picture")
    if page.imagewidth < 1 or page.imagelength < 1:
        raise CaptureError("damaged (the TIFF gives no size)")
    if page.imagewidth * page.imagelength > max_pixels:
        raise CaptureError(f"is {page.imagewidth}x{page.imagelength}: more than {max_pixels / 1e6:g} megapixels")
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
    least = _least_bytes(page) if _value(page.compression) == 1 else 1
    if not ends or max(ends) > len(data) or sum(page.databytecounts) < least:
        raise CaptureError("truncated (the TIFF's data ends before the picture does)")


def _least_bytes(page: Any) -> int:
    """Bytes of the uncompressed samples, rows padded to whole bytes."""
    together = 1 if _value(page.planarconfig) == 2 else page.samplesperpixel
    rows = page.imagelength * page.samplesperpixel // together
    return int(rows * ((page.imagewidth * together * page.bitspersample + 7) // 8))


def _decoded(data: bytes, page: Any, first: bool) -> NDArray[Any]:
    """Samples, height x width x (1, 3, or 4 for CMYK), uint8 or uint16; what else there is (alpha) is left out."""
    photometric = _value(page.photometric)
    if _value(page.compression) not in _PLAIN_CODECS and not _imagecodecs():
        if not first or not _opencv_reads(page):
            raise CaptureError(
                f"is compressed with {_name(page.compression)}: pip install 'livemef[formats]' to read it"
            )
        return _by_opencv(data)
    if page.bitspersample not in _PLAIN_BITS and not _imagecodecs():
        raise CaptureError(f"has {page.bitspersample} bits a sample: pip install 'livemef[formats]' to read it")
    if photometric == _YCBCR and _value(page.compression) not in _JPEG:  # tifffile would give Y, Cb, Cr as R, G, B
        if not first or not _opencv_reads(page):
            raise CaptureError(f"holds {page.bitspersample}-bit YCbCr colours, which are not read: convert it to RGB")
        return _by_opencv(data)
    if _value(page.compression) == _LZW:
        if first and _opencv_reads(page):
            return _by_opencv(data)
        _check_lzw(data, page)
    samples: NDArray[Any] = page.asarray()
    # in the order of the file: planes first where they are apart
    samples = samples.reshape(_layout(page))
    samples = np.moveaxis(samples, 0, -1) if _value(page.planarconfig) == 2 else samples
    samples = _full_range(samples, page)
    wanted = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _SEPARATED: 4}.get(photometric, 3)
    if samples.shape[-1] < wanted:
        raise CaptureError(f"has {samples.shape[-1]} samples a pixel where its kind needs {wanted}")
    samples = samples[..., :wanted]
    inverted = photometric == _WHITE_IS_ZERO
    return np.asarray(np.iinfo(samples.dtype).max - samples if inverted else samples)


def _check_lzw(data: bytes, page: Any) -> None:
    """Raise CaptureError unless each piece decodes to no more than its part of the picture.

    imagecodecs' decoder writes beyond the memory that it is given (seen with 2026.3.6), but not where it finds the size
    itself; a piece that is longer than incompressible data would be is not even tried.
    """
    import imagecodecs

    height, width = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    together = 1 if _value(page.planarconfig) == 2 else page.samplesperpixel
    row = width * together * -(-page.bitspersample // 8)
    strips = -(-page.imagelength // height)
    for number, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        left = height if page.is_tiled else page.imagelength - number % strips * height
        size = row * min(height, left)
        piece = data[offset : offset + count]
        try:
            fits = len(piece) <= 1.5 * size + 1024 and len(imagecodecs.lzw_decode(piece)) <= size
        except imagecodecs.ImcdError:
            fits = False
        if not fits:
            raise CaptureError("damaged (its LZW data is not that of the picture)")


def _layout(page: Any) -> tuple[int, int, int]:
    samples, height, width = page.samplesperpixel, page.imagelength, page.imagewidth
    return (samples, height, width) if _value(page.planarconfig) == 2 else (height, width, samples)


def _full_range(samples: NDArray[Any], page: Any) -> NDArray[Any]:
    """Palette indices looked up, and depths between the usual ones spread over 8 or 16 bits."""
    bits = page.bitspersample
    if _value(page.photometric) == _PALETTE:
        colours = np.asarray(page.colormap)
        # the entries have 16 bits; files that fill in 8 are old, common, and said by no tag
        table = (colours >> 8 if colours.max(initial=0) > 255 else colours).astype(np.uint8)
        return np.moveaxis(table[:, np.minimum(samples[..., 0], table.shape[1] - 1)], 0, -1)
    if bits in (8, 16):
        return samples
    samples = samples.astype(np.uint16)
    highest, dtype = 2**bits - 1, np.uint8 if bits < 8 else np.uint16
    return np.asarray((samples.astype(np.uint32) * np.iinfo(dtype).max + highest // 2) // highest, dtype)


def _opencv_reads(page: Any) -> bool:
    """Kinds that OpenCV's libtiff reads right: found by comparison with other readers."""
    usual = page.bitspersample in (8, 16) and _value(page.planarconfig) == 1 and not page.extrasamples
    return (
        usual
        and _value(page.photometric) in (_BLACK_IS_ZERO, _RGB, _YCBCR)
        and _value(page.compression) in {1, _LZW, *_JPEG, *_DEFLATE, 32773}
    )


def _by_opencv(data: bytes) -> NDArray[Any]:
    flags = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    with quiet_opencv():
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise CaptureError("not a whole TIFF picture")
    return np.asarray(pixels)[..., ::-1]


def _bgr(samples: NDArray[Any]) -> Pixels:
    return np.repeat(samples, 3, axis=2) if samples.shape[2] == 1 else samples[..., ::-1]


def _exif(page: Any) -> Exif:
    import tifffile

    tags: dict[int, Any] = {tag.code: _rational(tag) for tag in page.tags if tag.code != _EXIF_IFD}
    detail = page.tags.valueof(_EXIF_IFD, default={})
    interop = ""
    for name, value in detail.items() if isinstance(detail, dict) else ():
        if name == "InteroperabilityTag" and isinstance(value, dict):
            interop = str(value.get("InteroperabilityIndex", ""))
        elif name in tifffile.TIFF.EXIF_TAGS:
            number = tifffile.TIFF.EXIF_TAGS[name]
            tags[number] = _fraction(value) if number in _RATIONALS else value
    return exif_of_tags(tags, interop)


_RATIONALS = frozenset({33434, 33437, 37377, 37378})


def _rational(tag: Any) -> Any:
    return _fraction(tag.value) if tag.dtype in (5, 10) else tag.value


def _fraction(value: Any) -> Any:
    """tifffile gives rational tags as (numerator, denominator)."""
    if isinstance(value, tuple) and len(value) == 2 and value[1]:
        return float(Fraction(*value))
    return None if isinstance(value, tuple) else value


def _value(tag: Any) -> int:
    return int(tag) if tag is not None else 0


def _name(compression: Any) -> str:
    return str(getattr(compression, "name", compression))


def _imagecodecs() -> bool:
    try:
        import imagecodecs  # noqa: F401
    except ImportError:
        return False
    return True


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


class _Complaints(logging.Handler):
    """What tifffile logs about a damaged file."""

    def __init__(self) -> None:
        super().__init__()
        self.cut_off = False

    def emit(self, record: logging.LogRecord) -> None:
        self.cut_off |= "invalid value offset" in record.getMessage()


@contextmanager
def _quiet() -> Iterator[_Complaints]:
    """tifffile logs what it meets in damaged files and goes on; the error raised here says it once."""
    logger, complaints = logging.getLogger("tifffile"), _Complaints()
    before, logger.propagate = logger.propagate, False
    logger.addHandler(complaints)
    try:
        yield complaints
    finally:
        logger.removeHandler(complaints)
        logger.propagate = before
