"""Any folder of videos: a manifest whose captions can be edited."""

from cvg.imports.account import Import, Ledger, Request
from cvg.imports.kinds import Kind
from cvg.imports.texts import words_of
from cvg.remote.files import RemoteFile
from cvg.videos.manifest import read_manifest
from cvg.videos.skips import SkipCode

IGNORED = "not tried: not named as videos, hidden, or links to folders"
OUTSIDE = "a link out of the folder; --follow-links follows it"


def import_folder(request: Request) -> Import:
    """Take every video; the sub-folder is the label and, as words, the caption to start from.

    Of a folder behind a URL a column says what tells that a video has changed, so that the manifest
    changes with it when the folder is imported again.

    Raises:
        UserError: the folder holds no video.
    """
    manifest = read_manifest(request.folder, follow_links=bool(request.follow_links))
    ledger = Ledger(Kind.FOLDER, request)
    for entry in manifest.entries:
        # Empty, not None: the column is there to be filled in.
        caption = words_of(entry.label) if entry.label else ""
        place = entry.path
        told = {"remote_state": place.state} if isinstance(place, RemoteFile) else {}
        ledger.use(place, what=entry.name, caption=caption, label=entry.label, **told)
    for skip in manifest.skips:
        # Its own reason names a parameter, which is of extraction and not read here.
        outside = skip.code == SkipCode.OUTSIDE_FOLDER
        ledger.leave(skip.file, f"{skip.code}: {OUTSIDE if outside else skip.reason}")
    for kind, count in manifest.ignored.items():
        for _ in range(count):
            ledger.leave(kind or "without a suffix", IGNORED)
    return ledger.close(found=manifest.found + sum(manifest.ignored.values()))
