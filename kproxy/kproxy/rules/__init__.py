"""Packet-filter rules as values: rendered as text, sent to the kernel, evaluated on a packet, explained in words."""
