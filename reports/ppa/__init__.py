"""Area, delay and throughput per area of PEs and engines, with free tools."""
