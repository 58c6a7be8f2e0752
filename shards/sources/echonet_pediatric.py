"""EchoNet-Pediatric: children's hearts in two views, the left ventricle traced as a polygon."""

from collections.abc import Iterable
from functools import partial

from shards.build_report import BuildReport, InputError
from shards.reading import RawTree, files_by_name, read_csv

from .annotated_image import read_drawn_frame
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard
from .traced_videos import LEFT_VENTRICLE, draw_ventricle, group_rows, polygon_of_points

TABLE = "VolumeTracings.csv"

CARD = SourceCard(
    name="echonet_pediatric",
    title="EchoNet-Pediatric",
    licence="LicenseRef-stanford-research-use",
    terms="Stanford's research use agreement, after registration; not to be passed on.",
    citation="Reddy et al., Video-based deep learning for pediatric ejection fraction, JASE 2023",
    home_page="https://echonet.github.io/pediatric/",
    layout=f"A4C/ and PSAX/, each with Videos/ and {TABLE}",
    categories={LEFT_VENTRICLE: "left_ventricle_endocardium"},
    subject_rule="the name up to its first dash, over both views",
    sequence_rule="view and video; a frame's number counts from 1 in the table",
    official_split=(
        "not followed: Split of FileList.csv has ten folds (0 to 9) for cross-validation, none of "
        "which is named test, in a table for each view, and nobody has seen that a person has one "
        "fold in both; drawn by subject over both views instead"
    ),
    quirks=(
        "Rows whose frame is `No Systolic` or `No Diastolic` are left out and counted.",
        "A tracing of frame 0 is a problem: it would mean that frames are counted from 0.",
    ),
    exclusions=("Frames that nobody traced.", "Tracings whose video is missing."),
    unverified=(
        "that frames are counted from 1",
        "that the first part of a name is the patient",
    ),
)


def find_echonet_pediatric(tree: RawTree, report: BuildReport) -> Iterable[FoundImage]:
    """Yield every traced frame of every video that is there, view by view."""
    videos = files_by_name(
        tree.select({".avi"}, within="Videos"),
        name_of=lambda file: (*file.folders[-2:-1], file.stem),
        report=report,
    )
    for table in [file for file in tree.select({".csv"}) if file.name == TABLE]:
        rows = read_csv(table, columns=("FileName", "X", "Y", "Frame"))
        for (name, frame), points in group_rows(rows).items():
            video = videos.get((*table.folders[-1:], name))
            if video is None or not frame.isdecimal():
                what = "without a video" if video is None else "without a frame"
                report.note(f"tracings {what}, left out")
                continue
            if int(frame) < 1:
                message = (
                    f"{table}: {name} has a tracing of frame {frame}, but frames are taken to "
                    "count from 1. Mend the row, or say so if all frames count from 0."
                )
                report.add(InputError("frame that cannot be", message))
                continue
            draw = partial(draw_ventricle, points=polygon_of_points(points), table=table)
            yield FoundImage(
                name=f"{table.folder}_{name}_{int(frame) - 1:04d}",
                files=(video, table),
                read=partial(read_drawn_frame, video, frame=int(frame) - 1, draw=draw),
                subject=name.partition("-")[0],
                sequence=f"{table.folder}_{name}",
                frame=int(frame) - 1,
            )


ECHONET_PEDIATRIC = PublishedSource(card=CARD, find=find_echonet_pediatric)
