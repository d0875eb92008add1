"""HTTP/1.0 and 1.1: bytes to messages and back, and the two connections that carry them. Nothing else knows them."""
