"""The host's side of the VM tests: builds the guest, boots it, reads its results."""
