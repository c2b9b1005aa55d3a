"""Change a code: directions, words, paths between codes."""

from ..spaces.direction import Direction, moved
from .clip import Clip, TextEdit, TextEdited, edit_by_text
from .directions import learn_direction, orthogonalise, rows_of, sefa_directions
from .expressions import EXPRESSIONS, expression, expression_directions
from .measure import light, measured_direction, on_faces, smile, turn
from .paths import slerp, spread, sweep, through

__all__ = [
    "EXPRESSIONS",
    "Clip",
    "Direction",
    "TextEdit",
    "TextEdited",
    "edit_by_text",
    "expression",
    "expression_directions",
    "learn_direction",
    "light",
    "measured_direction",
    "moved",
    "on_faces",
    "orthogonalise",
    "rows_of",
    "sefa_directions",
    "slerp",
    "smile",
    "spread",
    "sweep",
    "through",
    "turn",
]
