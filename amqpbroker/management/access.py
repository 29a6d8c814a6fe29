"""Levels of access to the resources of the API."""

import enum


class Access(enum.Enum):
    """Who may (rabbit_mgmt_util: is_authorized*).

    ANYBODY: without logging in. USER: any user with a tag of the management. VHOST: one with permissions in the vhost
    of the path, or an administrator. VISIBLE: the same, or one who monitors. MONITOR: monitoring or administrator.
    POLICYMAKER: policymaker with permissions in the vhost, or administrator. ADMIN: administrator.
    """

    ANYBODY = "anybody"
    USER = "user"
    VHOST = "vhost"
    VISIBLE = "visible"
    MONITOR = "monitor"
    POLICYMAKER = "policymaker"
    ADMIN = "admin"
