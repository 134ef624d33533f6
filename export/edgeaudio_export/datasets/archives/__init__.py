"""Archives of published data sets, as they come."""
