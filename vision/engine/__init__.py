"""Which engine answers, and asking it. `vision.engine.engine.Engine` is what the service and the tools use."""
