"""The HTTP entrance of a cluster: one address, many Services, by host and path."""
