"""Quizzes: making, finding, taking and grading them."""
