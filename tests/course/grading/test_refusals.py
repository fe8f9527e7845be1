import subprocess
import sys

SCRIPT = """
import sys
from pathlib import Path
from nn2llm.course.grading.refusals import hide_answers, refuse_what_an_exercise_needs_not

lesson = Path(sys.argv[1])
refuse_what_an_exercise_needs_not(sys.argv[2])
with hide_answers(str(lesson)):
    for name in ("solution.py", "link.py", "data.csv"):
        try:
            print(name, (lesson / name).read_text())
        except PermissionError as error:
            print(name, error)
print("after", (lesson / "solution.py").read_text())
"""


def test_the_answers_of_a_lesson_are_hidden_while_a_text_runs(tmp_path):
    lesson, work = tmp_path / "lesson", tmp_path / "work"
    lesson.mkdir()
    work.mkdir()
    (lesson / "solution.py").write_text("right")
    (lesson / "data.csv").write_text("1,2")
    (lesson / "link.py").symlink_to(lesson / "solution.py")
    # audit hooks cannot be taken off again, so not in this process
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(lesson), str(work)], capture_output=True, text=True, check=True
    )
    refused = "An exercise does not read the lesson's own answers. Take that out."
    assert ran.stdout.splitlines() == [
        f"solution.py {refused}", f"link.py {refused}", "data.csv 1,2", "after right",
    ]  # fmt: skip
