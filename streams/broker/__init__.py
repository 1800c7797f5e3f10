"""The embedded broker: the real Apache Kafka, one node, on a Java runtime that came from pip.

jars      what is run, pinned by hash, fetched once into the user's cache
config    server.properties, as a pure function of ports and sizes
probe     asks an address for its metadata over Kafka's own protocol
process   which process holds a data directory, and how one is launched
control   start, stop, status, logs: what the commands and `up` call
console   Kafka's own command-line tools
"""
