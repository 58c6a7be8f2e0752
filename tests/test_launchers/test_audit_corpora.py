from launchers.audit_corpora import audit
from launchers.command_line import run_command
from shards import write_corpus
from shards.audit import AuditConfig
from tests.support.corpora import describe_source, make_sample


def run(*words):
    return run_command(AuditConfig, audit, arguments=words)


def write_splits(folder, *, test_numbers):
    for split, numbers in (("train", (2, 3)), ("test", test_numbers)):
        samples = [make_sample(number) for number in numbers]
        write_corpus(samples, f"{folder}/{split}", split=split, sources=[describe_source()])
    return f"urls=[{folder}/train,{folder}/test]"


def test_corpora_without_a_leak_end_with_0(tmp_path, capsys):
    urls = write_splits(tmp_path, test_numbers=(8,))
    assert run(urls, f"output={tmp_path}/audit") == 0
    assert "no leak between splits was found" in capsys.readouterr().out
    assert "Blessed" in (tmp_path / "audit/audit.html").read_text()


def test_a_leak_ends_with_1_and_says_what_to_do(tmp_path, capsys):
    urls = write_splits(tmp_path, test_numbers=(3,))
    assert run(urls, f"output={tmp_path}/audit") == 1
    assert "remove=training" in capsys.readouterr().out
    assert run(urls, f"output={tmp_path}/audit", "remove=training") == 1
    told = capsys.readouterr().out
    assert f"leave out 2 images: build again with excluded={tmp_path}/audit/excluded.txt" in told


def test_a_folder_without_a_corpus_is_one_line(tmp_path, capsys):
    assert run(f"urls=[{tmp_path}]") == 2
    assert "no corpus here" in capsys.readouterr().err
