"""Whole machines: QEMU guests that boot the appliance, switches between them, and the NixOS test driver's API."""
