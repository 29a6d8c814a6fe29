"""`amqpbroker ctl`: commands of rabbitmqctl and rabbitmq-diagnostics, which use the management API.

Options may be anywhere on the command line, as with rabbitmqctl.
"""
