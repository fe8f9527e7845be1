"""Build the static site: run what must be run, write all pages into a fresh folder, put it in place.

Read pages.py before. Used by `nn2llm lesson build`. The same results give the same files, byte by byte: no
date, no machine's name. What is wrong (a lesson that cannot be shown, a cell that fails) is gathered, not
raised: the rest of the site is still built.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import nn2llm
from nn2llm.core.errors import ConfigError, LessonError, Nn2llmError
from nn2llm.core.files import replace_folder, storage_errors
from nn2llm.course.checkpoints import list_pages
from nn2llm.course.glossary import build_glossary
from nn2llm.course.graph import build_graph
from nn2llm.course.lesson import Cell, Course, Lesson, LessonProblem
from nn2llm.course.loader import load_lesson
from nn2llm.course.results import find_result_problems, get_results, load_results
from nn2llm.course.running import CellResult
from nn2llm.course.search import SearchIndex
from nn2llm.course.site.outputs import name_by_contents
from nn2llm.course.site.pages import Pages

__all__ = ["BuiltSite", "build_site"]

_MARK = "nn2llm-site.json"
_BUNDLE = Path(nn2llm.__file__).parent / "app" / "static"
_BUNDLE_FILES = ("site.css", "lesson.css", "katex.css", "static_site.js")
# What a lesson's page may show or offer of its folder; code and tests stay at home.
_FILE_TYPES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".csv", ".txt", ".json", ".pdf"}


@dataclass(slots=True)
class BuiltSite:
    """What a build made."""

    folder: Path
    num_lessons: int = 0
    """Of those that are shown with their text."""
    num_files: int = 0
    num_bytes: int = 0
    ran: list[str] = field(default_factory=list)
    """Slugs of the lessons whose cells ran; of the others results were kept, or none wanted."""
    problems: list[LessonProblem] = field(default_factory=list)


def build_site(
    course: Course,
    out: Path,
    *,
    only: Collection[str] | None = None,
    run_cells: bool = True,
    map_picture: str = "",
    home: Path | None = None,
    bundle: Path = _BUNDLE,
    on_cell: Callable[[Lesson, Cell], None] = lambda lesson, cell: None,
) -> BuiltSite:
    """Write the site into `out`, in place of an earlier one.

    Args:
        course: with its lessons on disk.
        out: a folder that does not exist yet, is empty, or holds a site built before.
        only: run the cells of these lessons alone (slugs); others show kept outputs or none.
        run_cells: False runs nothing at all.
        map_picture: SVG of the prerequisites, with the server's addresses; the list says the same.
        home: where results are kept; NN2LLM_HOME by default.
        bundle: the built scripts and styles.
        on_cell: hears of each cell that runs.

    Raises:
        ConfigError: if `out` holds something else, or the bundle is not built.
        StorageError: if the site cannot be written.
    """
    out = out.resolve()
    _refuse_foreign(out)
    scratch = out.with_name(f".{out.name}.building")
    with storage_errors(out):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
    try:
        built = _Builder(course, scratch, home, on_cell).build(bundle, only, run_cells, map_picture)
        replace_folder(scratch, out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    built.folder = out
    return built


def _refuse_foreign(out: Path) -> None:
    if out.is_dir() and (not any(out.iterdir()) or (out / _MARK).is_file()):
        return
    if out.exists():
        raise ConfigError(
            f"{out} exists and is no site built by nn2llm: building would replace it. "
            "Name another folder with --out, or remove it first."
        )


class _Builder:
    """One build, into a folder that nobody sees yet."""

    def __init__(
        self, course: Course, folder: Path, home: Path | None, on_cell: Callable[[Lesson, Cell], None]
    ) -> None:
        self.course = course
        self.folder = folder
        self.home = home
        self.on_cell = on_cell
        self.built = BuiltSite(folder, problems=list(course.problems))
        self.broken = {slug: str(problem) for slug, problem in course.broken.items()}

    def build(
        self, bundle: Path, only: Collection[str] | None, run_cells: bool, map_picture: str
    ) -> BuiltSite:
        lessons = self.load_lessons()
        pages = Pages(
            course=self.course,
            graph=build_graph(self.course),
            assets=self.write_assets(bundle),
            broken=self.broken,
        )
        for entry in list_pages(self.course):
            lesson = lessons.get(entry.slug)
            if lesson is None:
                text = pages.missing_lesson(entry)
            else:
                wanted = run_cells and (only is None or entry.slug in only)
                text = pages.lesson(lesson, self.get_results(lesson, wanted), self.save_picture)
                self.copy_files(lesson)
                self.built.num_lessons += 1
            self.write(f"lessons/{entry.slug}.html", text)
        self.write("index.html", pages.home())
        self.write("glossary.html", pages.glossary(build_glossary(self.course)))
        self.write("map.html", pages.map(map_picture))
        self.write("search.html", pages.search())
        self.write(
            _MARK, json.dumps({"made_by": "nn2llm lesson build", "version": nn2llm.__version__}) + "\n"
        )
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        self.built.num_files, self.built.num_bytes = len(files), sum(path.stat().st_size for path in files)
        return self.built

    def load_lessons(self) -> dict[str, Lesson]:
        """The lessons that can be shown; the others are in `broken` and `problems`."""
        lessons: dict[str, Lesson] = {}
        for entry in list_pages(self.course):
            if not self.course.is_ready(entry.slug):
                continue
            try:
                lessons[entry.slug] = load_lesson(entry)
                self.built.problems += lessons[entry.slug].problems
            except LessonError as error:
                self.broken[entry.slug] = str(error)
                self.built.problems.append(read_problem(error, entry.folder / "lesson.md"))
        return lessons

    def get_results(self, lesson: Lesson, wanted: bool) -> dict[str, CellResult]:
        """Of the lesson's cells, kept or fresh; what failed is among the problems."""
        results = load_results(lesson, home=self.home)
        if results is None and not wanted:
            return {}
        if results is None:
            self.built.ran.append(lesson.slug)
            try:
                results = get_results(lesson, home=self.home, on_cell=lambda cell: self.on_cell(lesson, cell))
            except Nn2llmError as error:  # no kernel could be started
                self.built.problems.append(LessonProblem(path=lesson.path, line=0, message=str(error)))
                return {}
        self.built.problems += find_result_problems(lesson, results, numbers=False)
        return results

    def write(self, name: str, text: str) -> None:
        self.write_bytes(name, text.encode("utf-8", "replace"))

    def write_bytes(self, name: str, data: bytes) -> None:
        path = self.folder / name
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def save_picture(self, suffix: str, data: bytes) -> str:
        """A picture of a lesson's cell: its address, seen from the lesson's page."""
        name = f"pictures/{name_by_contents(suffix, data)}"
        self.write_bytes(name, data)
        return f"../{name}"

    def copy_files(self, lesson: Lesson) -> None:
        """Pictures and data that stand beside the lesson's text."""
        root = lesson.folder.resolve()
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() in _FILE_TYPES and path.is_file() and path.resolve().is_relative_to(root):
                self.write_bytes(
                    f"files/{lesson.slug}/{path.relative_to(root).as_posix()}", path.read_bytes()
                )

    def write_assets(self, bundle: Path) -> dict[str, str]:
        """Scripts, styles, fonts and the search index; where each is, by its logical name."""
        try:
            names = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
            wanted = {name: names[name] for name in _BUNDLE_FILES}
            wanted |= {name: file for name, file in names.items() if name.startswith("fonts/")}
            for file in wanted.values():
                self.write_bytes(f"assets/{file}", (bundle / file).read_bytes())
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(
                f"The scripts and styles of the pages are not built ({bundle}). Run `make start` "
                "(or `python hatch_build.py`) once."
            ) from error
        assets = {name: f"assets/{file}" for name, file in wanted.items()}
        own = (Path(__file__).parent / "static.css").read_bytes()
        assets["static.css"] = f"assets/static-{_short_hash(own)}.css"
        self.write_bytes(assets["static.css"], own)
        index = self.build_search_index().encode()
        assets["search_index.js"] = f"assets/search_index-{_short_hash(index)}.js"
        self.write_bytes(assets["search_index.js"], index)
        return assets

    def build_search_index(self) -> str:
        """A script that hands over a list, as pages opened from disk may not fetch JSON.

        Rows are [kind, address from the root, lesson's number and title, heading, words].
        """
        rows = []
        for kind, slug, number, title, heading, anchor, words in SearchIndex(self.course).make_rows():
            if kind != "lesson" and slug in self.broken:
                continue
            address = f"lessons/{slug}.html" + (f"#{anchor}" if anchor else "")
            rows.append([kind, address, f"{number} {title}", "" if kind == "lesson" else heading, words])
        return f"window.nn2llmSearchIndex = {json.dumps(rows, ensure_ascii=False, separators=(',', ':'))};\n"


def _short_hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]


def read_problem(error: LessonError, path: Path) -> LessonProblem:
    """The problem that a `LessonError` of the loader names (`path:line: message`)."""
    text = str(error)
    match = re.match(rf"{re.escape(str(path))}(?::(\d+))?: ", text)
    if match is None:
        return LessonProblem(path=path, line=0, message=text, fatal=True)
    return LessonProblem(path=path, line=int(match[1] or 0), message=text[match.end() :], fatal=True)
