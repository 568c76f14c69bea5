"""The model host: a process of its own that holds InternVL and answers over the OpenAI chat-completions API.

torch and transformers are imported in this package alone.
"""
