"""The Kubernetes API as this project needs it: objects, a client with informers, and a small embedded server."""
