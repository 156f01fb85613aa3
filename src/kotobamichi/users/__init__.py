"""What learners are told of themselves: who they are, what they did, how well."""
