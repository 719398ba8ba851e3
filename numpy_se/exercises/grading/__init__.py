"""Grading: a folder of hand-ins becomes points, a table, and a text for each student.

submissions.py  who handed in what: files, folders, zips and notebooks
notebook.py     the code of a notebook
points.py       points.toml: what each part is worth
mark.py         the mark of one answer
tables.py       the table, the tally of the class, and marks.csv
feedback.py     a text for each student
gradescope.py   the autograder for Gradescope
grade.py        python -m numpy_se.exercises grade

The code of a student runs in a process of its own (``numpy_se.checker.judge``); all else is here.
"""
