"""What is said to the model: one file a job, in InternVL's own conventions and the question's language."""
