"""Turns Kubernetes Services into kernel rules, or forwards their traffic itself."""
