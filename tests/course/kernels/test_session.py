import asyncio
import itertools
import json
import time

import psutil
import pytest

from nn2llm.course.kernels.protocol import FIGURE_MIME, MAX_STREAM_CHARACTERS, VERIFY_MIME, WIDGET_MIME

from .conftest import PATIENCE_S, Page, make_lesson, wait_until

LESSON = [
    ("imports", "import numpy as np"),
    ("data", "x = np.arange(6.0).reshape(2, 3)"),
    ("fit", "y = x * 2\nprint(y.sum())\ny.shape"),
    ("free", "pass"),
    ("check", "verify", "from nn2llm.course.cells import verify\nx = 1\nverify(x, 1, false_twin=0, atol=0)"),
    ("last", "print('last')"),
]

COUNT = itertools.count()


@pytest.fixture(scope="module")
def session(runner, pool, tmp_path_factory):
    lesson = make_lesson(tmp_path_factory.mktemp("lesson"), "regression", *LESSON)
    return runner.run(pool.open(lesson))


@pytest.fixture(scope="module")
def page(runner, session):
    async def open_page():
        page = Page(session)
        await page.until(lambda: page.cells)
        return page

    page = runner.run(open_page())
    yield page
    runner.run(page.close())


@pytest.fixture
def fresh_page(runner, pool, tmp_path):
    """A page whose kernel nobody has used: the tests of this file may run in any order, on any worker."""

    async def open_page():
        page = Page(await pool.open(make_lesson(tmp_path, f"fresh-{next(COUNT)}", *LESSON)))
        await page.until(lambda: page.cells)
        return page

    page = runner.run(open_page())
    yield page
    runner.run(page.close())


def test_run_first_runs_the_cells_above_that_it_needs(runner, fresh_page):
    page = fresh_page
    outputs = runner.run(page.run("fit"))
    assert [output["kind"] for output in outputs] == ["stream", "display"]
    assert outputs[0]["text"] == "30.0\n"
    assert outputs[1]["data"]["text/plain"] == "(2, 3)"
    reasons = {event["cell"]: event.get("because") for event in page.events if event["type"] == "status"}
    assert reasons["imports"] == reasons["data"] == "needed by fit"
    # not needed, so not run
    assert page.cells["free"]["status"] == "idle"
    # a second time nothing is missing
    begin = len(page.events)
    runner.run(page.run("fit"))
    assert not any(event.get("because") for event in page.events[begin:])


def test_a_check_runs_by_itself_in_names_of_its_own(runner, page):
    runner.run(page.until(lambda: page.cells["check"]["status"] == "done"))
    (output,) = page.cells["check"]["outputs"]
    assert output["data"][VERIFY_MIME]["ok"]
    # from the fence
    assert output["data"][VERIFY_MIME]["eq"] == "1.6.2"
    # its x did not touch the learner's
    assert runner.run(page.run("free", "print(x.shape)"))[0]["text"] == "(2, 3)\n"


def test_an_error_shows_the_line_and_the_tensors_on_it(runner, page):
    code = "w = np.ones((4, 5))\nclass Box: pass\nbox = Box()\nbox.w = w\nz = x @ box.w + np.sum(w[0])"
    (output,) = runner.run(page.run("free", code))
    assert output["name"] == "ValueError"
    (frame,) = [frame for frame in output["frames"] if frame["mine"]]
    assert (frame["where"], frame["cell"], frame["line"]) == ("cell free, line 5", "free", 5)
    assert frame["code"][-1] == [5, "z = x @ box.w + np.sum(w[0])", True]
    assert output["tensors"] == [
        {"name": "x", "shape": [2, 3], "dtype": "float64", "device": "numpy"},
        {"name": "box.w", "shape": [4, 5], "dtype": "float64", "device": "numpy"},
        {"name": "w", "shape": [4, 5], "dtype": "float64", "device": "numpy"},
    ]
    assert page.cells["free"]["status"] == "error"


def test_an_error_stops_the_queue(runner, fresh_page):
    page = fresh_page

    async def both():
        await page.send("edit", cell="free", code="1 / 0")
        begin = len(page.events)
        await page.send("run", cell="free")
        await page.send("run", cell="last")
        await page.until_ended("free", begin)
        await page.until(lambda: page.cells["last"]["status"] == "idle")

    runner.run(both())
    assert page.cells["last"]["outputs"] == []


def test_an_endless_loop_is_stopped(runner, fresh_page):
    page = fresh_page

    async def stop():
        await page.run("fit")
        begin = len(page.events)
        await page.send("run", cell="free", code="print('begun', flush=True)\nwhile True:\n    pass")
        await page.send("run", cell="last")
        await page.until(lambda: "begun" in page.text("free"))
        assert page.cells["last"]["status"] == "queued"
        await page.send("stop")
        await page.until_ended("free", begin)

    runner.run(stop())
    assert page.cells["free"]["status"] == "stopped"
    assert page.cells["free"]["outputs"][-1]["message"] == "stopped here"
    assert page.cells["last"]["status"] == "idle"
    # and the kernel lives
    assert runner.run(page.run("free", "print(x.size)"))[0]["text"] == "6\n"


@pytest.mark.parametrize("wait", ["await asyncio.sleep(600)", "while True: pass", "time.sleep(600)"])
def test_a_cell_that_awaits_is_stopped_too(runner, page, wait):
    async def stop():
        begin = len(page.events)
        code = f"import asyncio, time\nawait asyncio.sleep(0)\nprint('begun', flush=True)\n{wait}"
        await page.send("run", cell="free", code=code)
        await page.until(lambda: "begun" in page.text("free"))
        await page.send("stop")
        await page.until_ended("free", begin)

    runner.run(stop())
    assert page.cells["free"]["outputs"][-1]["name"] == "KeyboardInterrupt"
    assert runner.run(page.run("free", "print(x.size)"))[0]["text"] == "6\n"


def test_text_that_is_no_unicode_is_shown_escaped(runner, page):
    runner.run(page.run("free", "print('\\ud800 ä')\nraise ValueError('\\udfff')"))
    assert page.cells["free"]["outputs"][0]["text"] == "\\ud800 ä\n"
    assert page.cells["free"]["outputs"][1]["message"] == "\\udfff"


@pytest.mark.parametrize("code", ["exit()", "quit", "import sys; sys.exit(1)", "raise SystemExit"])
def test_exit_ends_the_cell_and_not_the_kernel(runner, page, code):
    (output,) = runner.run(page.run("free", code))
    assert output["message"].startswith("exit() ended this cell only; the kernel and its variables stay.")
    assert runner.run(page.run("free", "print(x.size)"))[0]["text"] == "6\n"


def test_input_is_refused_with_what_to_do_instead(runner, page):
    (output,) = runner.run(page.run("free", "name = input('Who? ')"))
    assert output["message"] == (
        'input() cannot ask for text on a page. Write the value into the cell, as in name = "Ada".'
    )
    assert [frame["where"] for frame in output["frames"]] == ["cell free, line 1"]


def test_a_syntax_error_names_its_line(runner, page):
    (output,) = runner.run(page.run("free", "a = 1\nb = (\n"))
    assert output["name"] == "SyntaxError"
    assert output["frames"][0]["where"] == "cell free, line 2"


def test_a_hundred_megabytes_of_text_are_cut_and_counted(runner, page):
    code = "line = 'x' * 9_999 + '\\n'\nfor _ in range(10_000):\n    print(line, end='')\nprint('end')"
    runner.run(page.run("free", code))
    text = page.text("free")
    assert len(text) < MAX_STREAM_CHARACTERS + 300
    assert f"cut here: a cell shows {MAX_STREAM_CHARACTERS:,} characters" in text
    # 10,000 lines of 10,000 and "end", "\n", less what is shown
    assert text.endswith(f"… {100_000_000 + 4 - MAX_STREAM_CHARACTERS:,} more characters were left out.\n")
    assert sum(len(json.dumps(event)) for event in page.events[-60:]) < 2_000_000


def test_printing_with_flush_does_not_flood_the_page(runner, page):
    begin = len(page.events)
    runner.run(page.run("free", "for i in range(5000):\n    print(i, flush=True)"))
    assert page.text("free") == "".join(f"{i}\n" for i in range(5000))
    assert sum(event["type"] == "output" for event in page.events[begin:]) < 500


def test_a_progress_bar_keeps_its_last_state(runner, page):
    code = "for i in range(30_000):\n    print(f'\\rstep {i:>20}', end='')\nprint()\nprint('done')"
    runner.run(page.run("free", code))
    kept = page.session.build_state()["cells"]["free"]["outputs"]
    assert kept == [{"kind": "stream", "name": "stdout", "text": f"step {29_999:>20}\ndone\n"}]


def test_text_and_displays_stay_in_order(runner, page):
    code = "import sys\nfrom IPython.display import HTML, display\nprint('a')\ndisplay(HTML('<b>b</b>'))\n"
    code += "print('c')\nprint('d', file=sys.stderr)\n'e'"
    outputs = runner.run(page.run("free", code))
    kinds = [(output["kind"], output.get("name"), output.get("text")) for output in outputs]
    assert kinds == [
        ("stream", "stdout", "a\n"),
        ("display", None, None),
        ("stream", "stdout", "c\n"),
        ("stream", "stderr", "d\n"),
        ("display", None, None),
    ]


def test_a_display_is_updated_in_place_and_outputs_can_be_cleared(runner, page):
    code = "from IPython.display import clear_output, display\nhandle = display('first', display_id=True)\n"
    outputs = runner.run(page.run("free", code + "handle.update('second')"))
    assert [output["data"]["text/plain"] for output in outputs] == ["'second'"]
    outputs = runner.run(page.run("free", code + "clear_output(wait=True)\nprint('third')"))
    assert [output.get("text") for output in outputs] == ["third\n"]


def test_a_hundred_figures_are_twenty_and_a_sentence(runner, page):
    code = "import matplotlib.pyplot as plt\nfor i in range(100):\n    plt.figure(figsize=(0.5, 0.5))"
    outputs = runner.run(page.run("free", code))
    assert sum(FIGURE_MIME in output.get("data", {}) for output in outputs) == 20
    assert outputs[-1]["text"] == "… 20 figures are shown; 80 more were left out.\n"
    assert len(outputs) == 21


def test_the_lens_tells_what_is_in_the_variables_of_a_cell(runner, page):
    async def ask():
        await page.run("fit")
        await page.send("lens", cell="fit")
        return await page.next("lens")

    names = runner.run(ask())["names"]
    assert names["x"] == {
        "kind": "array",
        "shape": [2, 3],
        "dtype": "float64",
        "device": "numpy",
        "text": "float64[2, 3]",
        "min": 0.0,
        "max": 5.0,
        "mean": 2.5,
    }
    assert "print" not in names


def test_two_tabs_show_the_same_and_a_reload_shows_it_again(runner, page, session):
    async def second():
        other = Page(session, "tab-2")
        await other.until(lambda: other.cells)
        await page.send("edit", cell="last", code="print('from one tab')")
        await other.until(lambda: other.cells["last"]["code"] == "print('from one tab')")
        await other.run("last")
        await page.until_ended("last")
        assert page.cells["last"]["outputs"] == other.cells["last"]["outputs"]
        reloaded = Page(session, "tab-3")
        await reloaded.until(lambda: reloaded.cells)
        assert reloaded.cells["last"]["outputs"][0]["text"] == "from one tab\n"
        assert reloaded.cells["last"]["code"] == "print('from one tab')"
        await page.send("reset", cell="last")
        await other.until(lambda: other.cells["last"]["code"] is None)
        await other.close()
        await reloaded.close()

    runner.run(second())


def test_what_is_not_understood_is_said_and_nothing_breaks(runner, page):
    async def send(message):
        begin = len(page.events)
        await page.session.handle(message, page.tab)
        await page.until(lambda: any(event["type"] == "trouble" for event in page.events[begin:]))
        return page.events[-1]["message"]

    messages = [{"type": "dance"}, 3, {"type": "run", "cell": "gone"}, {"type": "edit", "cell": "fit"}]
    said = [runner.run(send(message)) for message in messages]
    assert "not understood ('dance')" in said[0]
    assert "not understood (None)" in said[1]
    assert "no cell 'gone' any more" in said[2]
    assert "that is not whole" in said[3]
    long = {"type": "edit", "cell": "fit", "code": "#" * 600_000}
    assert "A cell holds at most 500,000 characters, got 600,000" in runner.run(send(long))
    comm = {"type": "comm", "comm_id": "none", "data": {}}
    assert runner.run(send(comm)) == "This widget's kernel has ended. Run its cell again."


WIDGET = """
import anywidget, traitlets
class Counter(anywidget.AnyWidget):
    _esm = "export default { render() {} }"
    _css = "p { color: red }"
    count = traitlets.Int(0).tag(sync=True)
    twice = traitlets.Int(0).tag(sync=True)
counter = Counter(count=3)
def follow(change):
    counter.twice = 2 * change.new
    print("now", change.new)
counter.observe(follow, "count")
counter
"""


def test_a_widget_speaks_both_ways_and_survives_a_reload(runner, page, session, pool):
    async def play():
        (output,) = await page.run("free", WIDGET)
        model_id = output["data"][WIDGET_MIME]["model_id"]
        state = session.build_state()["models"][model_id]["state"]
        assert state["count"] == 3
        assert state["_esm"].endswith(".js")
        esm = pool.widget_files.get(state["_esm"].removeprefix("/widgets/"))
        assert esm == b"export default { render() {} }"
        other = Page(session, "tab-w")
        await other.until(lambda: other.cells)
        begin = len(page.events)
        data = {"method": "update", "state": {"count": 5}, "buffer_paths": []}
        await other.send("comm", comm_id=model_id, data=data, buffers=[])

        def twice():
            for event in page.events[begin:]:
                if event["type"] == "comm" and event["data"]["state"].get("twice") == 10:
                    return True
            return False

        await page.until(twice)
        # the tab that moved it is not told what it knows; others are
        moved = [e for e in page.events[begin:] if e["type"] == "comm" and "count" in e["data"]["state"]]
        assert moved[0]["tab"] == "tab-w"
        assert not any(e["type"] == "comm" and e.get("tab") == "tab-w" for e in other.events)
        state = session.build_state()["models"][model_id]["state"]
        assert (state["count"], state["twice"]) == (5, 10)
        # what the callback prints stands under the widget's cell
        await page.until(lambda: "now 5" in page.text("free"))
        await other.close()

    runner.run(play())


def test_run_above_and_run_all(runner, page):
    async def above():
        await page.send("reset", cell="free")
        begin = len(page.events)
        await page.send("run_above", cell="free")
        await page.until_ended("free", begin)
        ran = [e["cell"] for e in page.events[begin:] if e["type"] == "status" and e["status"] == "running"]
        assert ran == ["imports", "data", "fit", "free"]
        begin = len(page.events)
        await page.send("run_all")
        await page.until_ended("last", begin)

    runner.run(above())


def test_a_restart_dims_what_stands_and_needed_cells_run_again(runner, page):
    async def restart():
        for cell in ("fit", "last"):
            await page.run(cell)
        before = page.session.build_state()["session"]
        begin = len(page.events)
        await page.send("restart")
        await page.until(
            lambda: any(e["type"] == "state" and e["session"] != before for e in page.events[begin:])
        )
        assert page.cells["fit"]["old"]
        assert page.cells["fit"]["outputs"]
        begin = len(page.events)
        await page.run("fit")
        assert not page.cells["fit"]["old"]
        ran = {e["cell"] for e in page.events[begin:] if e["type"] == "status" and e.get("because")}
        assert {"imports", "data"} <= ran
        assert page.cells["last"]["old"]
        await page.send("clear_old")
        await page.until(lambda: not page.cells["last"]["outputs"])
        assert page.cells["fit"]["outputs"]

    runner.run(restart())


def test_code_that_swallows_the_interrupt_is_ended_with_its_kernel(runner, page):
    code = "print('begun', flush=True)\nwhile True:\n    try:\n        while True:\n            pass\n"
    code += "    except KeyboardInterrupt:\n        pass"

    async def stop():
        begin = len(page.events)
        await page.send("run", cell="free", code=code)
        await page.until(lambda: "begun" in page.text("free"))
        await page.send("stop")
        await page.until_ended("free", begin)
        assert page.cells["free"]["outputs"][-1]["message"].startswith("The cell did not listen to Stop")
        await page.until(lambda: page.kernel["status"] == "dead")
        # Run mends it
        await page.run("free", "print('alive')")
        assert page.text("free") == "alive\n"

    runner.run(stop())


DIE = """
import os, pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path("child").write_text(str(child.pid))
os._exit(3)
"""


def test_a_cell_that_ends_its_process_is_said_and_mended(runner, page, pool):
    async def die():
        (output,) = await page.run("free", DIE)
        assert output["message"].startswith("The kernel ended (exit code 3).")
        await page.until(lambda: page.kernel["status"] == "dead")
        await page.run("free", "print('alive')")
        assert page.text("free") == "alive\n"
        assert page.kernel["status"] in ("idle", "busy")
        # what it had started went with it
        child = int((pool.home / "work" / "regression" / "child").read_text())
        wait_until(lambda: not psutil.pid_exists(child))

    runner.run(die())


def test_events_and_state_agree(runner, page):
    async def settle():
        await page.until(lambda: page.session.build_state()["seq"] == page.seq)

    runner.run(settle())
    state = page.session.build_state()
    for cell, shown in page.cells.items():
        kept = state["cells"][cell]
        for key in ("outputs", "status", "code", "old"):
            assert shown[key] == kept[key], (cell, key)


def test_what_was_shown_is_kept_for_the_next_day(runner, page, pool):
    def saved():
        return pool.store.load_cells("regression")["free"]

    shown = [{"kind": "stream", "name": "stdout", "text": "alive\n"}]
    deadline = time.monotonic() + PATIENCE_S
    while saved().outputs != shown and time.monotonic() < deadline:
        runner.run(asyncio.sleep(0.02))
    assert saved().outputs == shown
    assert saved().code == "print('alive')"
    assert saved().status == "done"
