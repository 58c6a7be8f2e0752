"""A corpus whose images and subjects bear names of patients, to look for where they must not be."""

import dataclasses

from shards import Corpus, make_key, open_corpus, write_corpus

from .corpora import describe_source, make_sample

PATIENTS = ("rosenzweig", "przybylski", "oyelaran")
"""Names in keys and subjects, as files of a clinic may bear them."""


def write_named_corpus(url: str, *, num_samples: int = 6) -> Corpus:
    """Write squares on noise, two images for each patient."""
    samples = []
    for number in range(num_samples):
        patient = PATIENTS[number // 2 % len(PATIENTS)]
        sample = make_sample(number)
        samples.append(
            dataclasses.replace(
                sample,
                key=make_key("toy", name=f"{patient}-{number:05d}"),
                origin=dataclasses.replace(sample.origin, subject=f"{patient}-19340229"),
            )
        )
    write_corpus(samples, url, split="test", sources=[describe_source()])
    return open_corpus(url)
