"""Connections that stay: commands run in containers, and ports of pods brought to the client.

kubectl up to 1.29 speaks SPDY/3.1 for both; later ones speak WebSockets, and SPDY inside of them for ports.
"""
