"""Where each site of spread lies on our drawing of a woman seen from the front: half shapes about a vertical middle line at x = 0.

Drawn for this page and no atlas: a shape says which region is meant, and nothing of side, size or number. A `paired` shape is mirrored,
because a record's site has no side. Sites that lie nowhere in particular have no shape and are listed beside the drawing.
"""

from __future__ import annotations

from typing import NamedTuple

HEIGHT = 552
_HALF = (
    *((0, 14), (17, 18), (28, 34), (29, 56), (23, 78), (13, 93), (13, 110), (22, 122), (44, 130), (64, 138), (76, 154), (81, 184)),
    *((84, 222), (91, 262), (101, 306), (108, 342), (113, 368), (109, 392), (101, 390), (98, 368), (93, 342), (81, 302), (70, 262)),
    *((62, 218), (57, 186), (55, 210), (48, 244), (44, 268), (49, 300), (61, 340), (65, 378), (63, 430), (57, 490), (52, HEIGHT)),
)
_INNER = ((15, HEIGHT), (11, 480), (6, 420), (0, 402))


class Place(NamedTuple):
    """The shape of a site and the point that its label leads to. `lines` are drawn as strokes, the rest as areas."""

    shape: str
    at: tuple[float, float]
    paired: bool = False
    lines: bool = False


def _circle(x: float, y: float, r: float) -> str:
    return f"M{x - r} {y}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0Z"


def _dots(*points: tuple[float, float], r: float = 3.2) -> str:
    return "".join(_circle(x, y, r) for x, y in points)


def _ellipse(x: float, y: float, rx: float, ry: float) -> str:
    return f"M{x - rx} {y}a{rx} {ry} 0 1 0 {2 * rx} 0a{rx} {ry} 0 1 0 {-2 * rx} 0Z"


_LUNG = "M9 148C24 138 42 168 46 212C47 230 40 233 29 228C19 223 10 224 9 210Z"
_LIVER = "M-45 240C-44 229 -14 226 20 232C21 240 4 247 -7 254C-18 263 -38 272 -43 262Z"
_KIDNEY = "M25 262C33 262 35 270 34 277C33 285 29 290 24 288C19 286 22 280 21 275C20 270 19 262 25 262Z"
_UTERUS = "M0 336C8 333 13 338 11 345C9 351 4 352 4 359L-4 359C-4 352 -9 351 -11 345C-13 338 -8 333 0 336Z"
_ILIUM = "M9 318C24 300 48 306 50 326C50 342 42 352 33 356C25 350 15 340 9 318Z"
_OTHER_ILIUM = "M-9 318C-24 300 -48 306 -50 326C-50 342 -42 352 -33 356C-25 350 -15 340 -9 318Z"
_SPINE = "".join(f"M-4.5 {y}h9v7h-9Z" for y in range(118, 318, 11))
_BELLY = "M0 246C28 246 43 258 43 284C43 316 36 334 0 338C-36 334 -43 316 -43 284C-43 258 -28 246 0 246Z"

CONTEXT = (
    ("M0 30C14 29 22 38 22 48C22 60 12 66 0 66C-12 66 -22 60 -22 48C-22 38 -14 29 0 30Z", False),
    (_LUNG, True),
    (_LIVER, False),
    (_KIDNEY, True),
    (_ILIUM, True),
    (_UTERUS, False),
)
CERVIX = (0.0, 360.0)

PLACES: dict[str, Place] = {
    "brain": Place("M0 30C14 29 22 38 22 48C22 60 12 66 0 66C-12 66 -22 60 -22 48C-22 38 -14 29 0 30Z", (12, 46)),
    "meninges": Place("M0 26C17 25 26 36 26 49C26 63 14 70 0 70C-14 70 -26 63 -26 49C-26 36 -17 25 0 26Z", (24, 44), lines=True),
    "thyroid": Place(_ellipse(5, 112, 4, 6), (6, 112), paired=True),
    "node-neck": Place(_dots((10, 96), (12, 104)), (11, 100), paired=True),
    "node-supraclavicular": Place(_dots((22, 131), (30, 134), (26, 140)), (27, 134), paired=True),
    "node-axillary": Place(_dots((55, 172), (60, 178), (54, 183)), (56, 177), paired=True),
    "lung": Place(_LUNG, (30, 188), paired=True),
    "pleura": Place(_LUNG, (44, 206), paired=True, lines=True),
    "mediastinum": Place("M-8 146h16v66h-16Z", (0, 170)),
    "node-mediastinal": Place(_dots((-4, 160), (4, 166), (-4, 174), (4, 181)), (4, 170)),
    "breast": Place(_circle(30, 206, 14), (36, 208), paired=True),
    "liver": Place(_LIVER, (-28, 246)),
    "spleen": Place("M34 234C42 234 45 244 42 252C39 259 33 256 33 248C33 242 30 236 34 234Z", (39, 245)),
    "pancreas": Place("M-12 262C-4 256 6 262 16 256C24 251 32 252 31 257C29 263 20 262 12 266C2 271 -14 272 -12 262Z", (20, 259)),
    "adrenal": Place("M18 262L23 252L29 261Z", (24, 258), paired=True),
    "kidney": Place(_KIDNEY, (30, 276), paired=True),
    "ureter": Place("M24 288C26 306 22 330 10 362", (23, 314), paired=True, lines=True),
    "peritoneum": Place(_BELLY, (38, 302), lines=True),
    "omentum": Place("M-30 272C-14 276 14 276 30 272C32 296 26 318 12 322C4 316 -4 316 -12 322C-26 318 -32 296 -30 272Z", (22, 296)),
    "retroperitoneum": Place("M-13 264h26v52h-26Z", (10, 306)),
    "small-intestine": Place(
        "M-20 300C-22 288 20 286 22 299C24 310 12 308 12 314C12 324 -14 324 -14 314C-13 308 -19 308 -20 300Z", (14, 304)
    ),
    "large-intestine": Place(
        "M-33 332C-40 312 -36 290 -32 280C-12 288 12 288 32 278C38 292 38 314 32 330C26 338 14 336 8 342", (34, 312), lines=True
    ),
    "node-para-aortic": Place(_dots((-6, 284), (6, 290), (-6, 298), (6, 304)), (6, 294)),
    "node-mesenteric": Place(_dots((14, 294), (20, 302), (12, 306)), (16, 301)),
    "node-abdominal": Place(_dots((-14, 282), (14, 282), (0, 300)), (14, 282)),
    "bone": Place(_SPINE + _ILIUM + _OTHER_ILIUM, (42, 322)),
    "spinal-cord": Place("M0 104V300", (0, 230), lines=True),
    "node-pelvic": Place(_dots((25, 334), (28, 343), (24, 351)), (27, 343), paired=True),
    "node-inguinal": Place(_dots((36, 374), (42, 381), (35, 386)), (39, 380), paired=True),
    "node-mesorectal": Place(_dots((10, 366), (13, 374), (8, 381)), (12, 374)),
    "ovary": Place(_ellipse(20, 345, 5.5, 4), (21, 345), paired=True),
    "fallopian-tube": Place("M8 339C13 333 20 335 22 341", (18, 336), paired=True, lines=True),
    "uterus": Place(_UTERUS, (6, 342)),
    "parametrium": Place("M5 352C12 350 20 354 22 360C16 364 9 364 5 362Z", (17, 358), paired=True),
    "bladder": Place("M-14 372C-14 363 14 363 14 372C14 382 5 387 0 387C-5 387 -14 382 -14 372Z", (9, 374)),
    "urethra": Place("M-2 387h4v9h-4Z", (0, 392)),
    "vagina": Place("M-5 364h10v27h-10Z", (0, 380)),
    "vulva": Place(_ellipse(0, 398, 5, 6), (0, 399)),
    "rectum": Place("M4 348C12 350 10 364 8 372C7 380 7 388 7 394L-1 394C-1 384 0 374 1 366C2 358 -2 348 4 348Z", (7, 376)),
    "skin": Place("", (72, 150), lines=True),
}


def outline() -> str:
    """The silhouette as one closed path, smooth through its points."""
    right = [*_HALF, *_INNER]
    left = [(-x, y) for x, y in reversed(right[1:-1])]
    return _smooth([*right, *left])


def _smooth(points: list[tuple[int, int]]) -> str:
    """A closed Catmull-Rom curve as cubic Béziers; straight along the lower edge."""
    count, parts = len(points), [f"M{points[0][0]} {points[0][1]}"]
    for number in range(count):
        before, a, b, after = (points[(number + step) % count] for step in (-1, 0, 1, 2))
        if a[1] == b[1] == HEIGHT:
            parts.append(f"L{b[0]} {b[1]}")
            continue
        c1 = (a[0] + (b[0] - before[0]) / 6, a[1] + (b[1] - before[1]) / 6)
        c2 = (b[0] - (after[0] - a[0]) / 6, b[1] - (after[1] - a[1]) / 6)
        parts.append(f"C{c1[0]:.1f} {c1[1]:.1f} {c2[0]:.1f} {c2[1]:.1f} {b[0]} {b[1]}")
    return "".join(parts) + "Z"


OUTLINE = outline()
