"""The IPVS backend: Services are virtual servers of the kernel's own load balancer.

`layout` has the constant iptables rules and the ipsets they look into, `compile` writes one Service's virtual servers
and set elements, `wire` packs IPVS netlink, `kernel` sends it, `sets` writes what the ipset tool reads, and `backend`
puts it together. `docs/reference/ipvs.md` walks through it.
"""
