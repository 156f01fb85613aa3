"""How well a learner knows each word, and when to see it again."""
