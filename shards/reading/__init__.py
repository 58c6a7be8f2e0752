"""Readers of raw datasets: files and archives, pictures, masks, polygons, volumes, videos.

Formats that need a package of the extra `formats` are opened by modules that import it on use.
"""

from .array_pickle import load_array_pickle
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
from .pairs import FilePair, pair_files
from .polygons import fill_polygon, labelme_polygons, plain_polygon, read_json
from .raw_files import PICTURE_SUFFIXES, RawFile, RawTree, open_tree
from .run_lengths import coco_mask_of
from .video import VideoFrames, open_video
from .volumes import Volume, num_frames_of, read_volume

__all__ = [
    "PICTURE_SUFFIXES",
    "FilePair",
    "RawFile",
    "RawTree",
    "VideoFrames",
    "Volume",
    "coco_mask_of",
    "colour_masks",
    "fill_outline",
    "fill_polygon",
    "grey_values",
    "hdf5_column",
    "hdf5_frame",
    "index_masks",
    "labelme_polygons",
    "load_array_pickle",
    "num_frames_of",
    "open_tree",
    "open_video",
    "pair_files",
    "plain_polygon",
    "read_json",
    "read_volume",
    "resize_mask",
    "split_values",
    "threshold_mask",
    "union_masks",
]
