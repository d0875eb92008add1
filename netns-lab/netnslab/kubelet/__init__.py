"""The kubelet: turns the pods bound to a node into namespaces and processes, and tells the API how they do."""
