"""Groups of commands in the help whose commands are in several modules."""

NODE = "Node"
MONITORING = "Monitoring, observability and health checks"
QUEUES = "Queues"
