"""From the bytes of a request to JSON values: JSON, YAML, and the protobuf that kubectl's generators send."""
