import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nn2llm.core.errors import DataError, StorageError
from nn2llm.data.shards import ShardWriter, TokenShards, choose_dtype, gather_rows, write_shards

FINGERPRINT = "a" * 64


def write(folder, tokens, **options):
    options = {"vocab_size": 1000, "fingerprint": FINGERPRINT, **options}
    return write_shards([tokens], folder, **options)


def test_ids_take_two_bytes_up_to_65536():
    assert choose_dtype(65536).itemsize == 2
    assert choose_dtype(65537).itemsize == 4
    with pytest.raises(ValueError, match="got 0"):
        choose_dtype(0)


@settings(deadline=None, max_examples=50)
@given(
    pieces=st.lists(st.lists(st.integers(0, 99_999), max_size=9), max_size=6),
    per_shard=st.integers(1, 12),
    start=st.integers(-2, 60),
    stop=st.integers(-2, 60),
)
def test_any_range_reads_as_from_one_list(tmp_path_factory, pieces, per_shard, start, stop):
    folder = tmp_path_factory.mktemp("shards") / "tokens"
    shards = write_shards(pieces, folder, vocab_size=100_000, max_shard_tokens=per_shard)
    whole = [token for piece in pieces for token in piece]
    assert len(shards) == len(whole)
    assert shards.num_shards == max(1, -(-len(whole) // per_shard))
    assert shards[start:stop].tolist() == whole[start:stop]
    assert shards[start:stop].dtype == np.uint32
    shards.verify()


def test_rows_are_gathered_across_files(tmp_path):
    tokens = np.arange(50)
    for per_shard in (7, 100):
        shards = write(tmp_path / "t", tokens, max_shard_tokens=per_shard)
        rows = shards.gather(np.array([0, 5, 44]), 6)
        assert rows.tolist() == [list(range(s, s + 6)) for s in (0, 5, 44)]
    with pytest.raises(IndexError):
        gather_rows(tokens, np.array([45]), 6)


def test_the_header_is_where_the_docstring_says(tmp_path):
    write(tmp_path / "t", [1, 2, 515])
    data = (tmp_path / "t" / "shard_00000.bin").read_bytes()
    assert data[:8] == b"nn2llm\0T"
    assert data[8:24] == bytes([1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0])
    assert data[24:88] == FINGERPRINT.encode()
    assert data[128:] == bytes([1, 0, 2, 0, 3, 2])
    shards = TokenShards(tmp_path / "t", verify=True)
    assert shards.fingerprint == FINGERPRINT


@pytest.mark.parametrize("position", [9, 16, 30, 90, 128, 133])
def test_a_flipped_byte_is_found(tmp_path, position):
    write(tmp_path / "t", [1, 2, 3])
    path = tmp_path / "t" / "shard_00000.bin"
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"shard_00000\.bin"):
        TokenShards(tmp_path / "t", verify=True)


def test_a_flipped_token_is_only_looked_for_when_asked(tmp_path):
    write(tmp_path / "t", [1, 2, 3])
    path = tmp_path / "t" / "shard_00000.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"\7")
    shards = TokenShards(tmp_path / "t")
    with pytest.raises(DataError, match=r"is damaged: its checksum does not fit.*data prepare"):
        shards.verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], "is cut off: 133 bytes instead of 134"),
        (lambda data: data[:60], "is cut off: 60 bytes, less than its header"),
        (lambda data: data + b"\0", "is longer than it should be: 135 bytes instead of 134"),
        (lambda data: b"PK" + data[2:], "is not a token shard"),
        (lambda data: b"", "is not a token shard"),
        (lambda data: data[:8] + b"\2" + data[9:], "has format version 2, this nn2llm reads 1"),
        (lambda data: data[:12] + b"\3" + data[13:], "says 3 bytes a token"),
    ],
)
def test_a_damaged_shard_is_refused_when_opened(tmp_path, change, message):
    write(tmp_path / "t", [1, 2, 3])
    path = tmp_path / "t" / "shard_00000.bin"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError) as error:
        TokenShards(tmp_path / "t")
    assert message in str(error.value)


def test_a_missing_shard_is_named(tmp_path):
    write(tmp_path / "t", list(range(10)), max_shard_tokens=3)
    (tmp_path / "t" / "shard_00001.bin").unlink()
    with pytest.raises(DataError, match=r"lacks shard_00001\.bin"):
        TokenShards(tmp_path / "t")
    with pytest.raises(DataError, match="holds no token shards"):
        TokenShards(tmp_path)


def test_shards_of_two_tokenizers_do_not_mix(tmp_path):
    write(tmp_path / "t", [1])
    write(tmp_path / "other", [2], fingerprint="b")
    (tmp_path / "other" / "shard_00000.bin").rename(tmp_path / "t" / "shard_00001.bin")
    with pytest.raises(DataError, match="another tokenizer"):
        TokenShards(tmp_path / "t")


@pytest.mark.parametrize("wrong", [-1, 1000])
def test_an_id_outside_the_vocabulary_is_refused_and_the_old_folder_stays(tmp_path, wrong):
    write(tmp_path / "t", [1, 2])
    with pytest.raises(DataError, match=f"id {wrong}, outside its vocabulary of 1000"):
        write(tmp_path / "t", [1, wrong])
    assert TokenShards(tmp_path / "t", verify=True)[:].tolist() == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_writing_stopped_half_way_leaves_the_old_folder(tmp_path):
    write(tmp_path / "t", [1, 2])

    def pieces():
        yield [3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(pieces(), tmp_path / "t", vocab_size=10)
    assert TokenShards(tmp_path / "t", verify=True)[:].tolist() == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        write(tmp_path / "file" / "t", [1])


@pytest.mark.parametrize("piece_tokens", [100, 90_000])
def test_a_full_disk_is_a_storage_error_and_the_old_folder_stays(tmp_path, full_disk, piece_tokens):
    write(tmp_path / "t", [1, 2])
    with pytest.raises(StorageError, match="No space left"):
        write_shards((np.zeros(piece_tokens, np.int64) for _ in range(1000)), tmp_path / "t", vocab_size=10)
    assert TokenShards(tmp_path / "t", verify=True)[:].tolist() == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_wrong_settings_are_refused(tmp_path):
    with pytest.raises(ValueError, match="max_shard_tokens must be >= 1, got 0"):
        ShardWriter(tmp_path, vocab_size=10, fingerprint="", max_shard_tokens=0)
    with pytest.raises(ValueError, match="at most 64 bytes"):
        ShardWriter(tmp_path, vocab_size=10, fingerprint="x" * 65)
    with pytest.raises(ValueError, match="step 1, got 2"):
        write(tmp_path / "t", [1, 2, 3])[::2]
