"""What the benches of the ingress have in common: a cluster, the proxies, a network of their own."""
