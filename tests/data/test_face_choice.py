"""Which face a photo is of, and what is wrong with a face's points."""

import math
from dataclasses import replace

import numpy as np
import pytest

from maskwise.data.faces import Face, Point, choose_face, points_problem, roll

SENSIBLE: tuple[Point, ...] = ((30, 40), (70, 40), (50, 60), (35, 80), (65, 80))


def square(x: float, y: float, side: float, score: float = 0.9) -> Face:
    """Return a face of a side around a middle, with points where they belong."""
    points = [(x + side * (u - 50) / 80, y + side * (v - 60) / 80) for u, v in SENSIBLE]
    return Face((x - side / 2, y - side / 2, x + side / 2, y + side / 2), score, tuple(points))


def test_no_faces_no_choice() -> None:
    assert choose_face([], (100, 100)) is None


def test_the_largest_face_is_chosen_unless_it_is_far_from_the_middle() -> None:
    size = (400, 300)
    middle, corner = square(200, 150, 50, score=0.5), square(20, 20, 60)
    assert choose_face([corner, middle], size) is middle
    assert choose_face([square(20, 20, 120), middle], size) != middle
    beside = square(260, 150, 60)
    assert choose_face([middle, beside], size) is beside


def test_the_weight_is_the_one_in_the_docstring() -> None:
    middle = square(200, 150, 50)
    for factor, chosen in ((7.3, False), (7.5, True)):
        corner = square(0, 0, 50 * math.sqrt(factor))
        assert (choose_face([middle, corner], (400, 300)) is corner) == chosen


def test_one_of_thirty_faces_is_chosen_in_any_order() -> None:
    rng = np.random.default_rng(3)
    crowd = [square(*rng.uniform(0, 1000, 2), rng.uniform(20, 40)) for _ in range(29)]
    crowd.insert(11, subject := square(480, 530, 90, score=0.4))
    for _ in range(5):
        rng.shuffle(crowd)
        assert choose_face(crowd, (1000, 1000)) is subject


def test_ties_go_to_the_better_score_then_to_the_left() -> None:
    left, right = square(40, 50, 20), square(60, 50, 20)
    better = replace(right, score=0.95)
    for pair, chosen in (((left, right), left), ((left, better), better)):
        assert choose_face(pair, (100, 100)) is chosen
        assert choose_face(pair[::-1], (100, 100)) is chosen


# --- points


def turned(face: Face, degrees: float) -> Face:
    """Return a face turned clockwise about the middle of its box."""
    angle = math.radians(degrees)
    turn = np.array([(math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))])
    middle = np.array([(face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2])
    points = (np.array(face.points) - middle) @ turn.T + middle
    return replace(face, points=tuple(map(tuple, points.tolist())))


def with_points(**moved: Point) -> Face:
    names = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
    points = [moved.get(name, point) for name, point in zip(names, SENSIBLE, strict=True)]
    return Face((10, 20, 90, 100), 0.9, tuple(points))


@pytest.mark.parametrize("degrees", [0, 30, -75, 90, 135, 179, -179])
def test_a_turned_face_makes_sense_and_has_its_roll(degrees: float) -> None:
    face = turned(with_points(), degrees)
    assert points_problem(face) == ""
    assert roll(face) == pytest.approx(degrees)


def test_an_upside_down_face_makes_sense() -> None:
    face = turned(with_points(), 180)
    assert points_problem(face) == ""
    assert abs(roll(face)) == pytest.approx(180)


def test_eyes_and_mouth_count_for_the_roll() -> None:
    tilted = {"right_mouth": (35, 75), "left_mouth": (65, 85)}
    assert roll(with_points(**tilted)) == pytest.approx(math.degrees(math.atan2(10, 40 + 30 + 40)))
    tilted = {"right_eye": (30, 35), "left_eye": (70, 45)}
    assert roll(with_points(**tilted)) == pytest.approx(math.degrees(math.atan2(10, 40 + 30 + 40)))


def test_the_roll_of_a_profile_follows_the_way_from_eyes_to_mouth() -> None:
    profile = with_points(
        right_eye=(30, 42), left_eye=(35, 38), right_mouth=(32, 80), left_mouth=(34, 80)
    )
    assert abs(roll(profile)) < 8
    assert points_problem(profile) == ""


MIRRORED = {"right_eye": (70, 40), "left_eye": (30, 40), "right_mouth": (65, 80),
            "left_mouth": (35, 80)}  # fmt: skip
BELOW = {"right_eye": (30, 90), "left_eye": (70, 90), "right_mouth": (35, 50),
         "left_mouth": (65, 50), "nose": (50, 70)}  # fmt: skip


@pytest.mark.parametrize(
    ("moved", "problem"),
    [
        (MIRRORED, "mirrored"),
        (BELOW, "mirrored: the mouth lies above the eyes"),
        ({"right_eye": (49, 40), "left_eye": (51, 40)}, "eyes lie on one spot"),
        ({"right_mouth": (35, 42), "left_mouth": (65, 42)}, "mouth lies on the eyes"),
        ({"right_mouth": (65, 80), "left_mouth": (35, 80)}, "mouth is turned"),
        ({"nose": (50, 30)}, "nose"),
        ({"nose": (50, 95)}, "nose"),
        ({"left_mouth": (115, 80)}, "outside the box"),
        ({"right_eye": (30, -5)}, "outside the box"),
    ],
)
@pytest.mark.parametrize("degrees", [0, 180])
def test_points_without_sense_are_told(
    moved: dict[str, Point], problem: str, degrees: float
) -> None:
    assert problem in points_problem(turned(with_points(**moved), degrees))


def test_what_is_no_place_is_told() -> None:
    for nose in ((math.nan, 60), (50, math.inf)):
        assert "no place" in points_problem(with_points(nose=nose))
    assert "no place" in points_problem(replace(with_points(), box=(50, 50, 50, 50)))
