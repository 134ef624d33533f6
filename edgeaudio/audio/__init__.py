"""Sound comes in here: sources, resampling, windows, and whether a window can be measured."""
