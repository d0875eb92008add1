"""The endpoints controller: which pods are behind a Service."""
