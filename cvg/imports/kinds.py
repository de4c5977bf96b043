"""The names of the public data sets that can be imported; light, for the command line."""

from enum import StrEnum


class Kind(StrEnum):
    """What `cvg data import` reads; the values are its words."""

    UCF101 = "ucf101"
    BAIR = "bair"
    SKY = "sky"
    MOVING_MNIST = "moving-mnist"
    KINETICS = "kinetics"
    SOMETHING = "something"
    FOLDER = "folder"


class View(StrEnum):
    """The camera of a BAIR record, as its keys name it."""

    MAIN = "main"
    AUX1 = "aux1"
