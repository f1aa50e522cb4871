"""Bytes that survive: on a disk and in object stores."""
