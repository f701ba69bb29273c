"""Settings of several sections that cannot work together."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from maskwise.config.loss import TaskWeights, Terms
from maskwise.labels import TASKS

if TYPE_CHECKING:
    from maskwise.config import Settings

_OWN_SCORES: Final = ("arcface", "bce")
"""Losses of an output that has a score of its own for each class."""


def contradictions(settings: "Settings") -> Iterator[str]:
    """Yield what cannot work together, each with what to do."""
    for part in (_tasks, _single_head, _losses, _photos, _backbone, _rest):
        yield from part(settings)


def _tasks(settings: "Settings") -> Iterator[str]:
    model, loss = settings.model, settings.loss
    if not settings.trained_tasks:
        yield f"model.tasks: none of {', '.join(model.tasks)} weighs anything in the loss"
    if loss.joint and len(model.tasks) < len(TASKS):
        yield "loss.joint needs all three tasks in model.tasks"
    if model.head == "tasks" and loss.joint:
        yield "networks apart are trained apart: loss.joint acts on multi only"
    if model.head == "tasks" and len(settings.trained_tasks) < len(TASKS):
        yield "model.head=tasks trains a network for each task: give each a weight above 0"
    if model.age_regression and not loss.age_regression:
        yield "model.age_regression learns nothing with loss.age_regression=0"
    if model.age == "distribution" and _moved(settings):
        yield (
            "model.age=distribution learns years, which labels.train_boundaries does not move; "
            "leave those at the task's"
        )


def _moved(settings: "Settings") -> bool:
    return settings.labels.train_boundaries != settings.labels.task_boundaries


def _single_head(settings: "Settings") -> Iterator[str]:
    loss = settings.loss
    if settings.model.head != "single":
        return
    if loss.task_weights != TaskWeights():
        yield "the single head has one loss: loss.task_weights acts on multi only"
    if loss.task_weighting != "fixed":
        yield "the single head has one loss: loss.task_weighting acts on multi only"
    for task in TASKS:
        if getattr(loss, task) is not None:
            yield f"the single head has one output: set loss.terms, not loss.{task}"
    if loss.joint:
        yield "the single head's output is joint already: set loss.terms, not loss.joint"


def _used_terms(settings: "Settings") -> dict[str, Terms]:
    """Return the losses of each output, by the setting that names them."""
    if settings.model.head == "single":
        return {"terms": settings.loss.terms}
    return {task: settings.loss.terms_of(task) for task in TASKS}


def _losses(settings: "Settings") -> Iterator[str]:
    model, loss, used = settings.model, settings.loss, _used_terms(settings)
    for place, terms in used.items():
        if "arcface" in terms and not model.cosine_scale:
            yield f"loss.{place}: arcface acts on angles; set model.cosine_scale, such as 64"
        if place == "age_group" and model.age != "classes":
            for term in [term for term in _OWN_SCORES if term in terms]:
                yield (
                    f"loss.age_group: {term} needs model.age=classes, not {model.age}; "
                    "name other losses in loss.age_group"
                )
    for term in [term for term in _OWN_SCORES if term in loss.joint]:
        yield f"loss.joint: {term} needs an output of 18 classes: model.head=single"
    every = [loss.joint, *used.values()]
    if settings.mix.enabled and any("arcface" in terms for terms in every):
        yield "loss: arcface has one angle for each photo; mix (cutmix, mixup) gives it two"
    if loss.label_smoothing and not any("ce" in terms for terms in every):
        yield "loss.label_smoothing acts on ce, and no loss is ce"
    outputs = {"joint"} if model.head == "single" else {*model.tasks}
    for output in sorted(set(loss.class_weight_lists) - outputs):
        if output != "joint" or not loss.joint:
            yield f"loss.class_weight_lists: there are no losses of {output}"


def _photos(settings: "Settings") -> Iterator[str]:
    preprocess, mix, train = settings.preprocess, settings.mix, settings.train
    if preprocess.fit == "native" and preprocess.edge == "slide":
        yield "preprocess.edge=slide moves and scales crops, which fit=native does not allow"
    if preprocess.scale == "photo" and (preprocess.mean or preprocess.std):
        yield "preprocess.scale=photo takes each photo's own mean and std: leave those unset"
    if mix.enabled and train.batch_size < 2:
        yield "mix needs train.batch_size of 2 or more: one photo has no other to be mixed with"
    for name in ("with_old", "within_mask", "age_gap"):
        if getattr(mix, name) and not mix.enabled:
            yield f"mix.{name} says who is mixed with whom: set mix.cutmix or mix.mixup"
    if train.sampling == "all" and train.sample_by != "joint":
        yield "train.sample_by says whose classes are drawn evenly: set train.sampling, too"


def _backbone(settings: "Settings") -> Iterator[str]:
    optim, epochs = settings.optim, settings.train.epochs
    if not optim.backbone_lr_factor:
        for name, off in (("frozen_stages", 0), ("freeze_epochs", 0), ("layer_decay", 1)):
            if getattr(optim, name) != off:
                yield f"optim.{name} does nothing where backbone_lr_factor=0 freezes it all"
    if optim.freeze_epochs and optim.freeze_epochs >= epochs:
        yield (
            f"optim.freeze_epochs {optim.freeze_epochs} never ends in {epochs} epochs; to freeze "
            "for good, set optim.backbone_lr_factor=0"
        )


def _rest(settings: "Settings") -> Iterator[str]:
    if settings.train.val_fold == "none" and settings.train.patience:
        yield "train.val_fold=none gives no scores that train.patience could stop by: set it to 0"
    if settings.train.val_fold == "none" and settings.schedule.name == "plateau":
        yield "train.val_fold=none gives no scores that schedule.name=plateau could follow"
    if settings.optim.sam and settings.train.amp == "fp16":
        yield "optim.sam computes a step twice, which fp16's loss scaling cannot: take bf16"
