"""What each operation does with the services, by subject."""
