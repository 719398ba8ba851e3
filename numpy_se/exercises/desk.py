"""The commands in the folder of a student: each prints, and says whether all is well."""

from __future__ import annotations

from pathlib import Path

from numpy_se.exercises import folder, progress, screen
from numpy_se.exercises.answer import gaps_in
from numpy_se.exercises.exercise import Exercise, all_exercises, find
from numpy_se.exercises.judging import Report, judge_file
from numpy_se.exercises.progress import Progress
from numpy_se.exercises.recognise import hints_for
from numpy_se.exercises.screen import COMMAND
from numpy_se.exercises.watch import changes

UNWRITTEN: Report = {"verdict": "unwritten", "kind": "unwritten"}


class Desk:
    """A folder with answers, and the progress that is kept there."""

    def __init__(self, place: Path, timeout: float) -> None:
        self.place, self.timeout = place, timeout
        self.progress = progress.load(place)

    def check(self, which: str | None = None) -> bool:
        """Check an answer, and say what was found."""
        exercise = self._chosen(which)
        path = self.place / exercise.file
        if not path.exists():
            raise ValueError(f"{path.name} is not here; write {COMMAND} reset {exercise.number}")
        gaps = gaps_in(exercise, path)
        report = UNWRITTEN if "y" in gaps else judge_file(exercise, path, self.timeout)
        marks = screen.marks(exercise, report, gaps)
        causes = screen.causes(report, marks)
        passed = report["verdict"] == "ok" and screen.GAP not in marks.values()
        own = self._of(exercise)
        own.tries += report is not UNWRITTEN
        own.passed |= passed
        own.meet([cause["id"] for cause in causes])
        self._save()
        screen.show(
            self._head(exercise),
            screen.table(marks),
            screen.told(report, marks),
            screen.thoughts(hints_for(exercise, causes, gaps).values()),
            screen.notes(report),
            screen.lessons(exercise, report) if passed else [],
            self._next(exercise, passed),
        )
        return passed

    def watch(self) -> bool:
        """Check the next open exercise, then each one whose file changes, until Ctrl-C."""
        self.check()
        for names in changes(self.place):
            for exercise in all_exercises():
                if exercise.file in names:
                    self.check(exercise.name)
        return True

    def hint(self, which: str | None = None) -> bool:
        """Give the next hint, and the last one again when there is no other."""
        exercise = self._chosen(which)
        own, most = self._of(exercise), len(exercise.hints)
        own.hints = min(max(own.hints, 0) + 1, most)
        self._save()
        title = f"{exercise.number}  {exercise.title}: hint {own.hints} of {most}"
        screen.show([title], screen.indented(exercise.hints[own.hints - 1], by=2))
        return True

    def overview(self) -> bool:
        """List all exercises."""
        print(*(screen.row(one, self._of(one)) for one in all_exercises()), sep="\n")
        return True

    def reset(self, which: str) -> bool:
        """Write the file of an exercise again."""
        exercise = find(which)
        kept = folder.reset(exercise, self.place)
        self.progress[exercise.name] = Progress(seen=self._of(exercise).seen)
        self._save()
        print(f"{exercise.file} is as at the start" + (f"; yours is in {kept}" if kept else ""))
        return True

    def show(self, which: str) -> bool:
        """Show the solution; before it is passed, this is noted."""
        exercise = self._chosen(which)
        own = self._of(exercise)
        own.seen |= not own.passed
        self._save()
        screen.show(self._head(exercise), screen.solution(exercise))
        return True

    def _chosen(self, which: str | None) -> Exercise:
        """An exercise by its number or name, or the first one that is not passed.

        It is the variant that the file of the student says it is.
        """
        exercises = all_exercises()
        opened = (one for one in exercises if not self._of(one).passed)
        exercise = find(which) if which else next(opened, exercises[-1])
        name = folder.variant_in(self.place / exercise.file)
        return exercise if name is None else exercise.variant(name)

    def _of(self, exercise: Exercise) -> Progress:
        return self.progress.setdefault(exercise.name, Progress())

    def _save(self) -> None:
        progress.save(self.place, self.progress)

    def _head(self, exercise: Exercise) -> list[str]:
        passed = [self._of(one).passed for one in all_exercises()]
        return [screen.head(exercise, sum(passed), len(passed))]

    def _next(self, exercise: Exercise, passed: bool) -> list[str]:
        """What to do after a check."""
        if not passed:
            return screen.again(exercise)
        following = self._chosen(None)
        return screen.onward(following) if not self._of(following).passed else screen.finished()
