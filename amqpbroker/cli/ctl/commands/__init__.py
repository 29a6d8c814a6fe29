"""All commands, by name. A command's module is imported when the command is looked up."""

import importlib
from collections.abc import Iterator, Mapping

from amqpbroker.cli.ctl.command import Command

#: Modules, and the names of their commands, in the order of the help.
_ROWS = (
    ("health", "ping"),
    ("node", "await_startup await_online_nodes status cluster_status"),
    ("health", "is_running"),
    ("node", "server_version environment memory_breakdown set_cluster_name list_node_auth_attempt_stats"),
    ("node", "list_feature_flags list_deprecated_features"),
    ("maintenance", "transfer_leadership rebalance drain revive"),
    ("users", "add_user authenticate_user change_password clear_password delete_user list_users set_user_tags"),
    ("users", "set_user_limits clear_user_limits list_user_limits hash_password"),
    ("access", "set_permissions set_permissions_globally clear_permissions list_permissions list_user_permissions"),
    ("access", "set_topic_permissions clear_topic_permissions list_topic_permissions list_user_topic_permissions"),
    ("lists", "list_queues list_batches list_jobs list_exchanges list_bindings list_connections list_channels"),
    ("lists", "list_consumers"),
    ("health", "check_running check_alarms check_local_alarms alarms check_port_connectivity check_port_listener"),
    ("health", "check_protocol_listener check_virtual_hosts check_certificate_expiration"),
    ("health", "check_if_node_is_quorum_critical listeners"),
    ("parameters", "set_parameter clear_parameter list_parameters"),
    ("parameters", "set_global_parameter clear_global_parameter list_global_parameters"),
    ("policies", "set_policy clear_policy list_policies"),
    ("policies", "set_operator_policy clear_operator_policy list_operator_policies"),
    ("vhosts", "add_vhost delete_vhost list_vhosts update_vhost_metadata set_vhost_tags trace_on trace_off"),
    ("vhosts", "set_vhost_limits clear_vhost_limits list_vhost_limits"),
    ("queues", "peek_queue list_groups redrive_group discard_group_head declare_queue purge_queue delete_queue"),
    ("redrives", "redrive_queue list_redrives cancel_redrive"),
    ("deletions", "delete_batch delete_batches delete_job delete_jobs"),
    ("streams", "add_super_stream delete_super_stream list_super_streams list_stream_offsets reset_stream_offset"),
    ("connections", "close_connection close_all_connections close_all_user_connections"),
    ("shovels", "shovel_status restart_shovel delete_shovel"),
    ("definitions", "export_definitions import_definitions"),
)

#: Command -> its module in this package, whose `COMMANDS` have it.
MODULES = {name: module for module, names in _ROWS for name in names.split()}


class Commands(Mapping[str, Command]):
    """The commands, in the order of the help."""

    def __getitem__(self, name: str) -> Command:
        commands: tuple[Command, ...] = importlib.import_module(f"{__name__}.{MODULES[name]}").COMMANDS
        return next(command for command in commands if command.name == name)

    def __contains__(self, name: object) -> bool:
        return name in MODULES

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


COMMANDS = Commands()
