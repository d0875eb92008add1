"""The cluster's DNS server: names for Services, headless pods and ExternalName."""
