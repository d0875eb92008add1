"""What is measured, one module a component; each has `rows()`, and `missing()` for peers that are not installed."""
