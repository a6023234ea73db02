import json
import os

import pytest

from livemef.engine.engine_cache import EngineCache, default_folder, key_of
from livemef.engine.errors import EngineError

FACTS = {"onnx_sha256": "0" * 64, "shape": [96, 160], "gpu": "Orin", "driver": 12060}


@pytest.fixture
def cache(tmp_path):
    return EngineCache(tmp_path / "engines")


def test_what_was_stored_comes_back_and_nothing_else(cache):
    assert cache.load(FACTS) is None
    path = cache.store(FACTS, b"engine")
    assert cache.load(FACTS) == b"engine"
    assert cache.load(FACTS | {"gpu": "Thor"}) is None
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert oct(cache.folder.stat().st_mode & 0o777) == "0o700"
    assert not list(cache.folder.glob("*.partial"))


@pytest.mark.parametrize("name", list(FACTS))
def test_every_fact_changes_the_key(name):
    assert key_of(FACTS) != key_of(FACTS | {name: "other"})


def damaged(cache, how):
    engine, note = cache.folder / f"{key_of(FACTS)}.engine", cache.folder / f"{key_of(FACTS)}.json"
    if how == "engine":
        engine.write_bytes(b"enginE")
    elif how == "note":
        note.write_text("{")
    elif how == "facts":
        note.write_text(json.dumps(json.loads(note.read_text()) | {"facts": {}}))
    else:
        note.unlink()
    return engine


@pytest.mark.parametrize("how", ["engine", "note", "facts", "no note"])
def test_a_damaged_plan_is_deleted(cache, how):
    cache.store(FACTS, b"engine")
    engine = damaged(cache, how)
    assert cache.load(FACTS) is None
    assert how == "no note" or not engine.exists()
    cache.store(FACTS, b"anew")
    assert cache.load(FACTS) == b"anew"


def test_a_folder_that_others_can_write_to_is_refused(tmp_path):
    folder = tmp_path / "engines"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(EngineError, match="not yours alone"):
        EngineCache(folder)


def test_a_link_is_refused(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "engines").symlink_to(tmp_path / "real")
    with pytest.raises(EngineError, match="not yours alone"):
        EngineCache(tmp_path / "engines")


def test_a_plan_that_others_can_write_is_refused(cache):
    path = cache.store(FACTS, b"engine")
    path.chmod(0o666)
    with pytest.raises(EngineError, match="not yours alone"):
        cache.load(FACTS)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_plan_of_somebody_else_is_refused(cache):
    path = cache.store(FACTS, b"engine")
    os.chown(path, 12345, -1)
    with pytest.raises(EngineError, match="not yours alone"):
        cache.load(FACTS)


def test_timings_are_kept(cache):
    assert cache.timings(FACTS) == b""
    cache.store_timings(FACTS, b"measured")
    assert cache.timings(FACTS) == b"measured"


def test_a_place_that_is_no_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="XDG_CACHE_HOME"):
        EngineCache(tmp_path / "file")


def test_the_place_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "livemef/engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache/livemef/engines"
