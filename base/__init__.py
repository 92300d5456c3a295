"""The ground floor that every package may import: errors, plug-ins, durable files, the cache."""
