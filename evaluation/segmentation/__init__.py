"""Pictures, DICOM files and videos in, masks in files out."""
