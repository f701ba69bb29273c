"""Settings that cannot work together are refused, all at once, with the nearest valid names."""

import pytest

from maskwise.errors import SettingsError
from maskwise.settings import load_settings

REFUSED = {
    "arcface without angles": (["loss.terms={arcface: 1}"], "set model.cosine_scale"),
    "arcface of mixed photos": (
        ["loss.terms={arcface: 1}", "model.cosine_scale=64", "mix.cutmix=0.5"],
        "one angle for each photo",
    ),
    "arcface of mixed photos in one task": (
        ["loss.gender={arcface: 1}", "model.cosine_scale=64", "mix.mixup=0.5"],
        "one angle for each photo",
    ),
    "arcface of ordered ages": (
        ["loss.age_group={arcface: 1}", "model.age=ordinal"],
        "arcface needs model.age=classes, not ordinal",
    ),
    "bce of years": (
        ["loss.terms={bce: 1}", "model.age=distribution"],
        "name other losses in loss.age_group",
    ),
    "bce of a product": (["loss.joint={bce: 1}"], "needs an output of 18 classes"),
    "cosines of steps": (["model.cosine_scale=30", "model.age=ordinal"], "cosine_scale needs"),
    "weights of the wrong length": (
        ["loss.class_weight_lists={age_group: [1, 2], joint: [1, 1]}"],
        "age_group has 3 classes, not 2",
    ),
    "weights of nothing": (["loss.class_weight_lists={gender: [0, 0]}"], "weights of 0 only"),
    "mixing one photo": (["mix.cutmix=0.5", "train.batch_size=1"], "batch_size of 2 or more"),
    "mixing every photo twice": (["mix.cutmix=0.7", "mix.mixup=0.7"], "together at most 1"),
    "a falling share": (["mix.cutmix_keep=[0.6, 0.4]"], "must rise"),
    "years and other boundaries": (
        ["model.age=distribution", "labels.train_boundaries=[30, 58]"],
        "train_boundaries does not move",
    ),
    "an age head of a single head": (["model.head=single", "model.age=ordinal"], "no age head"),
    "networks that see each other": (["model.head=tasks", "model.age_sees=gender"], "see no"),
    "copies without dropout": (["model.dropout_samples=4"], "set dropout"),
    "a backbone that never thaws": (["optim.freeze_epochs=5", "train.epochs=5"], "never ends"),
    "sharpness in fp16": (["optim.sam=0.05", "train.amp=fp16"], "take bf16"),
    "uncertainty of one loss": (
        ["model.head=single", "loss.task_weighting=uncertainty"],
        "acts on multi only",
    ),
    "a task's loss of one output": (["model.head=single", "loss.mask={ce: 1}"], "not loss.mask"),
    "joint twice": (["model.head=single", "loss.joint={ce: 1}"], "joint already"),
    "some tasks of a single head": (["model.head=single", "model.tasks=[mask]"], "is of all tasks"),
    "nesterov at rest": (["optim.name=nesterov", "optim.momentum=0"], "momentum above 0"),
    "a task twice": (["model.tasks=[mask, mask]"], "names one twice"),
    "a task that weighs nothing": (
        ["model.tasks=[mask]", "loss.task_weights.mask=0"],
        "weighs anything",
    ),
    "seeing what is not learnt": (
        ["model.tasks=[age_group]", "model.age_sees=gender"],
        "age_sees needs gender among tasks",
    ),
    "the joint of some": (["model.tasks=[mask]", "loss.joint={ce: 1}"], "needs all three"),
    "one of what is off": (
        ["augment.base=none", "augment.one_of=[[flip, hue]]"],
        "one_of names flip, which is off",
    ),
    "one of one twice": (["augment.one_of=[[flip, hue], [hue, zoom]]"], "one_of names hue twice"),
    "a growing rate": (["schedule.gamma=1.5"], "would let the rate grow"),
    "no losses": (["loss.terms={}"], "at least 1"),
    "smoothing of nothing": (
        ["loss.terms={focal: 1}", "loss.label_smoothing=0.1"],
        "no loss is ce",
    ),
    "weights of no output": (
        ["model.head=single", "loss.class_weight_lists={gender: [1, 2]}"],
        "there are no losses of gender",
    ),
    "joint losses of networks apart": (
        ["model.head=tasks", "loss.joint={ce: 1}"],
        "loss.joint acts on multi only",
    ),
    "a network for nothing": (
        ["model.head=tasks", "loss.task_weights.mask=0"],
        "give each a weight above 0",
    ),
    "years that weigh nothing": (
        ["model.age_regression=true", "loss.age_regression=0"],
        "learns nothing",
    ),
    "sliding what is not scaled": (
        ["preprocess.fit=native", "preprocess.edge=slide"],
        "fit=native does not allow",
    ),
    "two scales": (
        ["preprocess.scale=photo", "preprocess.mean=[0.5, 0.5, 0.5]"],
        "leave those unset",
    ),
    "partners of nobody": (["mix.with_old=true"], "set mix.cutmix or mix.mixup"),
    "classes of no draw": (["train.sample_by=gender"], "set train.sampling"),
    "layers of a frozen backbone": (
        ["optim.backbone_lr_factor=0", "optim.layer_decay=0.9"],
        "layer_decay does nothing",
    ),
    "a tracker twice": (["track.trackers=[wandb, wandb]"], "names one twice"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_cannot_work_together_are_refused(case: str) -> None:
    words, message = REFUSED[case]
    with pytest.raises(SettingsError) as raised:
        load_settings(None, words)
    assert message in str(raised.value)


def test_all_contradictions_are_told_at_once() -> None:
    words = [word for case in ("joint twice", "mixing one photo", "sharpness in fp16")
             for word in REFUSED[case][0]]  # fmt: skip
    with pytest.raises(SettingsError) as raised:
        load_settings(None, words)
    for case in ("joint twice", "mixing one photo", "sharpness in fp16"):
        assert REFUSED[case][1] in str(raised.value)
    assert "3 wrong setting(s)" in str(raised.value)


def test_all_problems_of_a_section_are_told_at_once() -> None:
    words = ["mix.cutmix=0.7", "mix.mixup=0.7", "mix.cutmix_keep=[0.6, 0.4]", "train.accumulate=7",
             "train.swa=1", "labels.drop_ages=[[9, 5], [0, 29]]",
             "labels.train_boundaries=[30, 20]"]  # fmt: skip
    with pytest.raises(SettingsError) as raised:
        load_settings(None, words)
    for message in ("together at most 1", "must rise from above 0", "cannot be cut into 7",
                    "swa 1: a mean is of 2 epochs", "[9, 5] holds no age",
                    "no age of the young group", "train_boundaries must rise"):  # fmt: skip
        assert message in str(raised.value)
    assert "7 wrong setting(s)" in str(raised.value)


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("loss.terms={focl: 1}", "focal"),
        ("optim.name=adamm", "adam"),
        ("schedule.name=restart", "restarts"),
        ("augment.one_of=[[brightnes, hue]]", "brightness"),
        ("mix.cutmix_shape=boxes", "box"),
        ("train.sampling=evn", "even"),
        ("model.age=ordnal", "ordinal"),
        ("train.repeat={olde: 2}", "old"),
        ("optim.momentun=0.9", "optim.momentum"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(word: str, nearest: str) -> None:
    with pytest.raises(SettingsError, match=f"did you mean {nearest}\\?"):
        load_settings(None, [word])
