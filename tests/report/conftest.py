"""A store with a whole study in it, made once through the store's own methods; each test has a copy of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_judging import add_judging
from kept_study import build_study

from inhouse.core.records import Run
from inhouse.report.document import Document, gather
from inhouse.store.repository import Store


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file at this version's schema, with nothing in it."""
    path = tmp_path_factory.mktemp("empty") / "inhouse.db"
    Store(f"sqlite:///{path}").close()
    return path


@pytest.fixture(scope="session")
def kept(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Document]:
    """A database file with one study in it, and what a report gathers of it."""
    path = shutil.copy(empty_database, tmp_path_factory.mktemp("kept") / "inhouse.db")
    with Store(f"sqlite:///{path}") as store:
        document = gather(store, build_study(store).id)
    return path, document


@pytest.fixture
def document(kept: tuple[Path, Document]) -> Document:
    return kept[1]


@pytest.fixture(scope="session")
def kept_judged(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Document]:
    """The same with phase 2 in it."""
    path = shutil.copy(empty_database, tmp_path_factory.mktemp("judged") / "inhouse.db")
    with Store(f"sqlite:///{path}") as store:
        study = build_study(store)
        add_judging(store, study)
        document = gather(store, study.id)
    return path, document


@pytest.fixture
def judged_document(kept_judged: tuple[Path, Document]) -> Document:
    return kept_judged[1]


@pytest.fixture
def study_database(kept: tuple[Path, Document], tmp_path: Path) -> Path:
    """A copy of the study's database, in a data folder as the program has it."""
    (tmp_path / "data").mkdir()
    return Path(shutil.copy(kept[0], tmp_path / "data" / "inhouse.db"))


@pytest.fixture
def empty_store(empty_database: Path, tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "empty").mkdir()
    with Store(f"sqlite:///{shutil.copy(empty_database, tmp_path / 'empty' / 'inhouse.db')}") as opened:
        yield opened


@pytest.fixture
def store(study_database: Path) -> Iterator[Store]:
    """A store that holds the study."""
    with Store(f"sqlite:///{study_database}") as opened:
        yield opened


@pytest.fixture
def study(document: Document) -> Run:
    return document.study
