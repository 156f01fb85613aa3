"""What several rings of tests share: servers, and michi as an operator runs it."""
