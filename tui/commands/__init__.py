"""The commands of ``gatewright``, one subject per file. Each is imported only when it is called."""
