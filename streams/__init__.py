"""The doors: the only room that knows Kafka, Faust and HTTP."""
