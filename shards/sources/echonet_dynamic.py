"""EchoNet-Dynamic: videos of the heart, with the left ventricle traced in two frames each."""

from collections.abc import Iterable, Iterator
from functools import partial

from shards.build_report import BuildReport, InputError
from shards.reading import RawTree, files_by_name, one_by_name, read_csv

from .annotated_image import read_drawn_frame
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard
from .traced_videos import LEFT_VENTRICLE, draw_ventricle, group_rows, polygon_of_chords

TABLE = "VolumeTracings.csv"
SPLIT_TABLE = "FileList.csv"

CARD = SourceCard(
    name="echonet_dynamic",
    title="EchoNet-Dynamic",
    licence="LicenseRef-stanford-research-use",
    terms="Stanford's research use agreement, after registration; not to be passed on.",
    citation="Ouyang et al., Video-based AI for beat-to-beat assessment, Nature 2020",
    home_page="https://echonet.github.io/dynamic/",
    layout=f"EchoNet-Dynamic.zip, or Videos/, {TABLE} and {SPLIT_TABLE}",
    categories={LEFT_VENTRICLE: "left_ventricle_endocardium"},
    subject_rule="unknown; a video, which its name tells, stays together",
    sequence_rule="the video; a frame's number counts from 0",
    official_split=(
        f"column Split of {SPLIT_TABLE} (TRAIN, VAL, TEST); videos that it does not name are "
        "counted, and their split is drawn"
    ),
    quirks=(
        "The first row of a tracing is the long axis; the outline runs along one end of the other "
        "rows and back along their other end.",
        "Points are rounded to whole pixels, not cut.",
        "Tracings whose video is missing are left out and counted.",
    ),
    exclusions=("Frames that nobody traced.",),
    unverified=("that a video is a patient", f"the names in {SPLIT_TABLE}"),
)

_SPLITS = {"TRAIN": "train", "VAL": "validation", "TEST": "test"}


def find_echonet_dynamic(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Yield every traced frame of every video that is there."""
    videos = files_by_name(
        tree.select({".avi"}, within="Videos"), name_of=lambda file: file.stem, report=report
    )
    splits = one_by_name(_splits(tree, report=report), what="rows", report=report)
    unlisted = set()
    for table in [file for file in tree.select({".csv"}) if file.name == TABLE]:
        columns = ("FileName", "X1", "Y1", "X2", "Y2", "Frame")
        for (name, frame), rows in group_rows(read_csv(table, columns=columns)).items():
            if name not in videos or not frame.isdecimal():
                what = "without a video" if name not in videos else "without a frame"
                report.note(f"tracings {what}, left out")
                continue
            if splits and name not in splits:
                unlisted.add(name)
            draw = partial(draw_ventricle, points=polygon_of_chords(rows), table=table)
            yield FoundImage(
                name=f"{name}_{int(frame):04d}",
                files=(videos[name], table),
                read=partial(read_drawn_frame, videos[name], frame=int(frame), draw=draw),
                sequence=name,
                frame=int(frame),
                split=splits.get(name),
            )
    if unlisted:
        what = f"videos that {SPLIT_TABLE} does not name; their split is drawn"
        report.note(what, count=len(unlisted))


def _splits(tree: RawTree, *, report: BuildReport) -> Iterator[tuple[str, str, str]]:
    """Yield video, split, and the place of every row; a word that is no split is reported."""
    for file in tree.select({".csv"}):
        columns = ("FileName", "Split")
        for row in read_csv(file, columns=columns) if file.name == SPLIT_TABLE else ():
            name, word = row["FileName"].removesuffix(".avi"), row["Split"]
            if word.upper() in _SPLITS:
                yield name, _SPLITS[word.upper()], f"{file} ({word})"
                continue
            expected = ", ".join(_SPLITS)
            message = f"{file}: {name} has the Split {word!r}; expected {expected}. Mend the row."
            report.add(InputError("line that cannot be used", message), is_obstacle=True)


ECHONET_DYNAMIC = PublishedSource(card=CARD, find=find_echonet_dynamic)
