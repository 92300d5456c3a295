"""An accelerator's half hour: kernels, ceilings, packing and repeatability; speed by size; a ladder."""
