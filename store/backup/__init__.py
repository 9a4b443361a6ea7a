"""A project in one file: made while its engine works on it, looked over, and made a project again elsewhere."""
