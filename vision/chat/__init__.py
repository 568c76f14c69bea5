"""The one wire between the tools and any model: the OpenAI chat-completions API with images, seen from the client."""
