"""What crosses the API, one file a subject."""
