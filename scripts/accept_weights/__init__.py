"""Acceptance of real weights: fixed questions on pictures made here, and public benchmarks where their files are."""
