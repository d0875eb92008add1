"""A Corefile, the configuration of CoreDNS, read as it is: text -> directives -> a `Configuration`."""
