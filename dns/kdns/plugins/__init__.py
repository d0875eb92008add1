"""The plug-ins, one module each; `kdns.chain.ORDER` says which come first."""
