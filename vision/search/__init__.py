"""Finding words in a document: passages ranked by BM25, in any language, with the standard library alone."""
