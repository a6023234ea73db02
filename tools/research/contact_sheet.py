"""Contact sheets: one picture with scenes in rows, exposures and methods in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from livemef.capture.frame import Pixels

_CELL_WIDTH = 320
_GAP = 6
_CAPTION_HEIGHT = 22
_BACKGROUND = 32
_FONT, _FONT_SCALE, _FONT_COLOUR = cv2.FONT_HERSHEY_SIMPLEX, 0.5, (230, 230, 230)


@dataclass(frozen=True)
class SheetRow:
    """A scene's name and its thumbnails, by column title."""

    scene: str
    cells: Mapping[str, Pixels]


def thumbnail(picture: Pixels) -> Pixels:
    """The picture (BGR uint8) resized to the width of a cell."""
    height = max(1, round(picture.shape[0] * _CELL_WIDTH / picture.shape[1]))
    shrinks = picture.shape[1] > _CELL_WIDTH
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (_CELL_WIDTH, height), interpolation=method))


def contact_sheet(columns: Sequence[str], rows: Sequence[SheetRow]) -> Pixels:
    """The sheet, BGR uint8, with titles above the columns and the scenes' names at the rows."""
    return np.concatenate([_row(columns, row) for row in rows])


def _row(columns: Sequence[str], row: SheetRow) -> Pixels:
    titles = [f"{row.scene}: {title}" if index == 0 else title for index, title in enumerate(columns)]
    height = max(cell.shape[0] for cell in row.cells.values())
    cells = [_cell(title, row.cells[column], height) for title, column in zip(titles, columns, strict=True)]
    return np.concatenate(cells, axis=1)


def _cell(title: str, picture: Pixels, height: int) -> Pixels:
    cell = np.full((_CAPTION_HEIGHT + height + _GAP, _CELL_WIDTH + _GAP, 3), _BACKGROUND, np.uint8)
    cell[_CAPTION_HEIGHT : _CAPTION_HEIGHT + picture.shape[0], :_CELL_WIDTH] = picture
    place = (4, _CAPTION_HEIGHT - 7)
    cv2.putText(cell, title, place, _FONT, _FONT_SCALE, _FONT_COLOUR, 1, cv2.LINE_AA)
    return cell
