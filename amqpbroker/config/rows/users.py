"""Settings of logins, and of the users and the vhost of a new broker."""

from amqpbroker.config.accepted import (
    ANY,
    BOOLEAN,
    MAX_INT,
    MOST_BYTES,
    NAME,
    REGEX,
    TAGS,
    bytesize,
    duration_ms,
    integer,
    one_of,
    or_none,
    some_of,
)
from amqpbroker.config.setting import Setting

BYTES = bytesize(1, MOST_BYTES)
#: Authentication backends. Each backend only admits further users, so an unsupported one can be ignored.
BACKEND = some_of(
    "internal",
    "rabbit_auth_backend_internal",
    left_out={
        f"{prefix}{name}": "only the internal backend is supported"
        for prefix in ("", "rabbit_auth_backend_")
        for name in ("amqp", "cache", "http", "ldap", "oauth", "oauth2", "uaa")
    },
)
MECHANISM = some_of(
    *("PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL"),
    left_out={"RABBIT-CR-DEMO": "this mechanism is not supported"},
)
POSITIVE = integer(1, MAX_INT)

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("loopback_users", one_of("none"), "",
            "`none` lets every user connect from anywhere."),
    Setting("loopback_users.$user", BOOLEAN, "guest = true",
            "Allow this user to connect from this machine only. Any such line replaces the default."),
    Setting("auth_mechanisms.$n", MECHANISM,
            "1 = AMQPLAIN, 2 = ANONYMOUS, 3 = PLAIN",
            "SASL mechanisms offered, in the order of their numbers. Any such line replaces the default."),
    Setting("auth_backends.$n", BACKEND, "1 = internal",
            "Authentication backend. Only `internal` is supported; further ones are ignored, with a warning."),
    Setting("auth_backends.$n.authn", BACKEND, "",
            "Backend of passwords. If it is not `internal`, the backend of this number is ignored, with a warning."),
    Setting("auth_backends.$n.authz", BACKEND, "",
            "Backend of permissions. A value other than `internal` is accepted only with an `authn` that is ignored."),
    Setting("password_hashing_module", one_of("rabbit_password_hashing_sha256"), "rabbit_password_hashing_sha256",
            "Hash algorithm of passwords."),
    Setting("anonymous_login_user", or_none(NAME), "guest",
            "User of ANONYMOUS logins; `none` disables them.", "anonymous_login_user"),
    Setting("anonymous_login_pass", ANY, "guest",
            "Password of anonymous_login_user.", "anonymous_login_pass", secret=True),
    Setting("vhost_max", integer(1, MAX_INT, infinity=0), "infinity",
            "Maximum number of vhosts.", "vhost_max"),
    Setting("default_vhost", NAME, "/",
            "Vhost of a new broker.", "default_vhost", environment=("RABBITMQ_DEFAULT_VHOST",)),
    Setting("default_user", NAME, "guest",
            "User of a new broker.", environment=("RABBITMQ_DEFAULT_USER",)),
    Setting("default_pass", ANY, "guest",
            "Password of default_user.", environment=("RABBITMQ_DEFAULT_PASS",), secret=True),
    Setting("default_user_tags.$tag", BOOLEAN, "administrator = true",
            "Tags of default_user. Any such line replaces the default."),
    Setting("default_permissions.configure", REGEX, ".*", "Configure permission of default_user in default_vhost."),
    Setting("default_permissions.write", REGEX, ".*", "Write permission of default_user in default_vhost."),
    Setting("default_permissions.read", REGEX, ".*", "Read permission of default_user in default_vhost."),
    Setting("default_users.$name.password", ANY, "",
            "Password of a further user of a new broker. Without one, the user cannot log in with a password.",
            secret=True),
    Setting("default_users.$name.tags", TAGS, "", "Tags of this user."),
    Setting("default_users.$name.vhost_pattern", REGEX, ".*", "Vhosts in which this user has these permissions."),
    Setting("default_users.$name.configure", REGEX, ".*", "Configure permission of this user."),
    Setting("default_users.$name.write", REGEX, ".*", "Write permission of this user."),
    Setting("default_users.$name.read", REGEX, ".*", "Read permission of this user."),
    Setting("default_limits.vhosts.$id.pattern", REGEX, ".*", "Vhosts that get these limits when they are created."),
    Setting("default_limits.vhosts.$id.max_connections", POSITIVE, "", "Maximum number of connections per vhost."),
    Setting("default_limits.vhosts.$id.max_queues", POSITIVE, "", "Maximum number of queues per vhost."),
    Setting("default_policies.operator.$id.vhost_pattern", REGEX, ".*",
            "Vhosts that get this operator policy when they are created."),
    Setting("default_policies.operator.$id.queue_pattern", REGEX, ".*", "Queues that the policy applies to."),
    Setting("default_policies.operator.$id.expires", duration_ms(1), "", "Time after which unused queues are deleted."),
    Setting("default_policies.operator.$id.message_ttl", duration_ms(0), "", "Time after which messages expire."),
    Setting("default_policies.operator.$id.max_length", POSITIVE, "", "Maximum number of messages in a queue."),
    Setting("default_policies.operator.$id.max_length_bytes", BYTES, "", "Maximum size of a queue in bytes."),
    Setting("default_policies.operator.$id.max_in_memory_length", POSITIVE, "", "Maximum messages in memory."),
    Setting("default_policies.operator.$id.max_in_memory_bytes", BYTES, "", "Maximum bytes in memory."),
    Setting("default_policies.operator.$id.delivery_limit", POSITIVE, "", "Maximum number of returns."),
    Setting("default_policies.operator.$id.classic_queues.queue_version", integer(1, 2), "",
            "Version of classic queues."),
)
# fmt: on
