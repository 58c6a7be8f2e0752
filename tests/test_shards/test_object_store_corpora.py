import pytest

from shards import build_corpora, open_corpus, validate_corpus
from tests.support.corpora import make_us30k
from tests.support.object_store import object_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with object_store(tmp_path_factory.mktemp("store")) as server:
        yield server


@pytest.mark.services
def test_a_bucket_is_built_read_validated_and_replaced_like_a_disk(store, tmp_path, monkeypatch):
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    tree = make_us30k(tmp_path / "raw")
    on_disk = build_corpora(tree.config(tmp_path / "out"))
    config = tree.config(tmp_path / "unused")
    config.output = store.url("us30k")
    assert build_corpora(config) == on_disk
    assert build_corpora(config) == on_disk
    assert validate_corpus(config.output) == []
    sample = open_corpus(store.url("us30k/train")).read_flat(2)
    assert sample.objects == open_corpus(str(tmp_path / "out/train")).read_flat(2).objects
    tree.write_list("train", ["1/FetalHead-HC18/001_HC"])
    with pytest.raises(ValueError, match="holds another build"):
        build_corpora(config)
    config.overwrite = True
    assert build_corpora(config)["train"].num_samples == 1
    assert validate_corpus(config.output) == []


def test_a_bucket_without_keys_is_one_clear_error(tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(OSError, match=r"s3://bucket/train: the store .* keys \(AWS_ACCESS_KEY_ID"):
        open_corpus("s3://bucket/train")
