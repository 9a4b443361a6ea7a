"""The host's side of the sandbox: what this host can do, what is planned of it, and what scripts were granted."""
