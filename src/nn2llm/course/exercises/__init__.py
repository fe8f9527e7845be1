"""Exercises: what a lesson asks its reader to do, the learner's files, and one object that checks them.

Read records.py first, then model.py, files.py and service.py. The checking itself is in course/grading.
"""
