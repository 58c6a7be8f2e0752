"""Readers of raw datasets: files and archives, pictures, masks, polygons, volumes, videos.

Formats that need a package of the extra `formats` are opened by modules that import it on use.
"""

from .array_pickle import load_array_pickle
from .arrays import num_entries_of, read_array
from .coco_file import CocoAnnotation, CocoImage, read_coco
from .dicom import DicomHeader, Region, is_dicom, read_dicom_frame, read_dicom_header
from .dicom_segmentation import SegmentFrame, read_segment, read_segmentation
from .hdf5 import hdf5_column, hdf5_frame
from .masks import (
    colour_masks,
    fill_outline,
    grey_values,
    index_masks,
    resize_mask,
    split_values,
    threshold_mask,
    union_masks,
)
from .matlab import matlab_array, matlab_shape
from .pairs import (
    FilePair,
    Unpaired,
    files_by_name,
    key_without,
    one_by_name,
    pair_files,
    with_one_mask,
)
from .path_pattern import PathPattern, local_path
from .picture_size import picture_size
from .polygons import fill_polygon, labelme_polygons, plain_polygon, read_json
from .raw_files import PICTURE_SUFFIXES, RawFile, RawTree, open_tree
from .run_lengths import coco_mask_of
from .tables import is_utf_8, read_csv, read_lines, read_sheet, read_text
from .video import VIDEO_SUFFIXES, VideoFrames, open_video
from .volumes import VOLUME_SUFFIXES, Volume, annotated_frames, num_frames_of, read_volume

__all__ = [
    "PICTURE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "VOLUME_SUFFIXES",
    "CocoAnnotation",
    "CocoImage",
    "DicomHeader",
    "FilePair",
    "PathPattern",
    "RawFile",
    "RawTree",
    "Region",
    "SegmentFrame",
    "Unpaired",
    "VideoFrames",
    "Volume",
    "annotated_frames",
    "coco_mask_of",
    "colour_masks",
    "files_by_name",
    "fill_outline",
    "fill_polygon",
    "grey_values",
    "hdf5_column",
    "hdf5_frame",
    "index_masks",
    "is_dicom",
    "is_utf_8",
    "key_without",
    "labelme_polygons",
    "load_array_pickle",
    "local_path",
    "matlab_array",
    "matlab_shape",
    "num_entries_of",
    "num_frames_of",
    "one_by_name",
    "open_tree",
    "open_video",
    "pair_files",
    "picture_size",
    "plain_polygon",
    "read_array",
    "read_coco",
    "read_csv",
    "read_dicom_frame",
    "read_dicom_header",
    "read_json",
    "read_lines",
    "read_segment",
    "read_segmentation",
    "read_sheet",
    "read_text",
    "read_volume",
    "resize_mask",
    "split_values",
    "threshold_mask",
    "union_masks",
    "with_one_mask",
]
