"""EchoNet-Dynamic: videos of the heart, with the left ventricle traced in two frames each."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport
from shards.reading import RawTree, read_csv

from .annotated_image import read_drawn_frame
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard
from .traced_videos import LEFT_VENTRICLE, draw_ventricle, group_rows, polygon_of_chords

TABLE = "VolumeTracings.csv"

CARD = SourceCard(
    name="echonet_dynamic",
    title="EchoNet-Dynamic",
    licence="LicenseRef-stanford-research-use",
    terms="Stanford's research use agreement, after registration; not to be passed on.",
    citation="Ouyang et al., Video-based AI for beat-to-beat assessment, Nature 2020",
    home_page="https://echonet.github.io/dynamic/",
    layout=f"EchoNet-Dynamic.zip, or Videos/, {TABLE} and FileList.csv",
    categories={LEFT_VENTRICLE: "left_ventricle_endocardium"},
    subject_rule="unknown; a video, which its name tells, stays together",
    sequence_rule="the video; a frame's number counts from 0",
    official_split="column Split of FileList.csv (TRAIN, VAL, TEST)",
    quirks=(
        "The first row of a tracing is the long axis; the outline runs along one end of the other "
        "rows and back along their other end.",
        "Points are rounded to whole pixels, not cut.",
        "Tracings whose video is missing are left out and counted.",
    ),
    exclusions=("Frames that nobody traced.",),
    unverified=("that a video is a patient", "the names in FileList.csv"),
)

_SPLITS = {"TRAIN": "train", "VAL": "validation", "TEST": "test"}


def find_echonet_dynamic(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Yield every traced frame of every video that is there."""
    videos = {file.stem: file for file in tree.select({".avi"}, within="Videos")}
    splits = {
        row["FileName"].removesuffix(".avi"): _SPLITS.get(row["Split"].strip().upper())
        for file in tree.select({".csv"})
        if file.name == "FileList.csv"
        for row in read_csv(file, columns=("FileName", "Split"))
    }
    for table in [file for file in tree.select({".csv"}) if file.name == TABLE]:
        columns = ("FileName", "X1", "Y1", "X2", "Y2", "Frame")
        for (name, frame), rows in group_rows(read_csv(table, columns=columns)).items():
            if name not in videos or not frame.isdigit():
                what = "without a video" if name not in videos else "without a frame"
                report.note(f"tracings {what}, left out")
                continue
            draw = partial(draw_ventricle, points=polygon_of_chords(rows), table=table)
            yield FoundImage(
                name=f"{name}_{int(frame):04d}",
                files=(videos[name], table),
                read=partial(read_drawn_frame, videos[name], frame=int(frame), draw=draw),
                sequence=name,
                frame=int(frame),
                split=splits.get(name),
            )


ECHONET_DYNAMIC = PublishedSource(card=CARD, find=find_echonet_dynamic)
