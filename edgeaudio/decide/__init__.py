"""From predictions to decisions."""
