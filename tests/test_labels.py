"""The 18 classes, and ages on the boundaries."""

import numpy as np
import pytest

from maskwise.labels import (
    NUM_CLASSES,
    TASKS,
    UNKNOWN,
    AgeGroup,
    age_group_of,
    age_group_text,
    class_names,
    code_of,
    decode_class,
    encode_class,
)


def test_every_class_is_encoded_and_decoded() -> None:
    numbers = np.arange(NUM_CLASSES)
    codes = decode_class(numbers)
    assert np.array_equal(encode_class(codes["mask"], codes["gender"], codes["age_group"]), numbers)
    # the competition's formula
    expected = codes["mask"] * 6 + codes["gender"] * 3 + codes["age_group"]
    assert np.array_equal(expected, numbers)
    assert class_names()[0] == "wear, male, under 30"
    assert class_names()[17] == "not wear, female, 60 and over"
    assert len(set(class_names())) == NUM_CLASSES


def test_one_unknown_label_makes_the_class_unknown() -> None:
    known, unknown = np.array([1]), np.array([UNKNOWN])
    for codes in ((unknown, known, known), (known, unknown, known), (known, known, unknown)):
        assert encode_class(*codes).tolist() == [UNKNOWN]


@pytest.mark.parametrize(
    ("age", "group"),
    [(0, "young"), (29, "young"), (30, "middle"), (59, "middle"), (60, "old"), (120, "old")],
)
def test_an_age_on_a_boundary_belongs_to_the_older_group(age: int, group: str) -> None:
    assert age_group_of(age) == group


def test_other_boundaries_and_their_words() -> None:
    assert age_group_of(58, (29, 58)) == AgeGroup.OLD
    assert [age_group_text(word, (29, 58)) for word in AgeGroup] == [
        "under 29",
        "29 to 57",
        "58 and over",
    ]


def test_words_have_codes_and_others_have_none() -> None:
    assert [code_of("mask", word) for word in TASKS["mask"]] == [0, 1, 2]
    assert code_of("gender", None) == UNKNOWN
    with pytest.raises(ValueError, match="worn"):
        code_of("mask", "worn")
