"""A whole cluster network on one Linux machine, made of network namespaces."""
