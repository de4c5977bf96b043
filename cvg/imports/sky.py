"""Sky Time-lapse: folders of frames, cut from long videos."""

from pathlib import PurePosixPath

from cvg.imports.account import Import, Ledger, Request, layout_error
from cvg.imports.kinds import Kind
from cvg.imports.tree import LINK, list_tree
from cvg.videos.location import IMAGE_SUFFIXES

SPLITS = {"sky_test": "held_out", "sky_train": "train"}
LAYOUT = """
  sky_train/<video>/<video>_<part>/*.jpg
  sky_test/<video>/<video>_<part>/*.jpg
"""


def import_sky(request: Request) -> Import:
    """Take each folder that holds images as a clip; the parts of one long video are a group.

    Raises:
        UserError: the folder is not laid out so.
    """
    ledger = Ledger(Kind.SKY, request)
    found = 0
    for root, split in SPLITS.items():
        tree = list_tree(request.path / root, IMAGE_SUFFIXES)
        holding = {PurePosixPath(name).parent.as_posix() for name in tree.names}
        for clip in sorted(holding - {"."}):
            ledger.use(
                tree.folder / clip,
                what=f"{root}/{clip}",
                split=split,
                group=_source(clip),
                fps=request.fps,
            )
        loose = [name for name in tree.names if "/" not in name]
        for name in loose:
            ledger.leave(f"{root}/{name}", "an image outside of the folders of the clips")
        bare = sorted(set(tree.leaves) - holding - {"."})
        for name in bare:
            ledger.leave(f"{root}/{name}", "a folder without images")
        for link in tree.links:
            ledger.leave(f"{root}/{link}", LINK)
        found += len(holding - {"."}) + len(loose) + len(bare) + len(tree.links)
    if not found:
        raise layout_error(request, "folder of images in sky_train or sky_test", LAYOUT)
    return ledger.close(found=found)


def _source(clip: str) -> str:
    """Give the long video: the folder above, or, where the parts lie side by side, their name."""
    video, below, _ = clip.partition("/")
    return video if below else video.rpartition("_")[0] or video
