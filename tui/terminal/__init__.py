"""What stands between the console and the terminal: what is sent, and what must never be."""
