from launchers.command_line import run_command
from launchers.validate_shards import validate
from shards import ValidateConfig
from tests.support.corpora import write_toy_corpus


def run(*words):
    return run_command(ValidateConfig, validate, arguments=words)


def test_a_sound_corpus_ends_with_0(tmp_path, capsys):
    write_toy_corpus(f"{tmp_path}/corpus")
    assert run(f"url={tmp_path}/corpus") == 0
    assert "0 findings in 1 corpora" in capsys.readouterr().out


def test_a_damaged_corpus_ends_with_1_and_names_the_damage(tmp_path, capsys):
    write_toy_corpus(f"{tmp_path}/corpus")
    shard = tmp_path / "corpus/toy-00001.tar"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert run(f"url={tmp_path}/corpus") == 1
    assert "toy-00001.tar: has" in capsys.readouterr().out


def test_findings_beyond_the_limit_are_counted_only(tmp_path, capsys):
    write_toy_corpus(f"{tmp_path}/corpus")
    for shard in (tmp_path / "corpus").glob("*.tar"):
        shard.write_bytes(shard.read_bytes()[:600])
    assert run(f"url={tmp_path}/corpus", "max_findings=1") == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
