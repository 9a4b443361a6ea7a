"""The engine over HTTP: translates requests to service calls and answers, errors and events back. Decides nothing."""
