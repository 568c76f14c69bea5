"""Which InternVL runs here: the catalogue of variants, the probe of the hardware, the selector that plans."""
