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
#: Authentication backends. Each backend only admits further users, so a foreign one can be left out.
BACKEND = some_of(
    "internal",
    "rabbit_auth_backend_internal",
    left_out={
        f"{prefix}{name}": "the broker itself (internal) is the only one that knows users"
        for prefix in ("", "rabbit_auth_backend_")
        for name in ("amqp", "cache", "http", "ldap", "oauth", "oauth2", "uaa")
    },
)
MECHANISM = some_of(
    *("PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL"),
    left_out={"RABBIT-CR-DEMO": "there is no such mechanism"},
)
POSITIVE = integer(1, MAX_INT)

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("loopback_users", one_of("none"), "",
            "`none` lets every user connect from anywhere."),
    Setting("loopback_users.$user", BOOLEAN, "guest = true",
            "Whether this user may connect from this machine only. Any such line replaces the default."),
    Setting("auth_mechanisms.$n", MECHANISM,
            "1 = AMQPLAIN, 2 = ANONYMOUS, 3 = PLAIN",
            "The SASL mechanisms offered, in the order of their numbers. Any such line replaces the default."),
    Setting("auth_backends.$n", BACKEND, "1 = internal",
            "Who knows the users; the broker itself is the only one. Others beside it are left out, with a warning."),
    Setting("auth_backends.$n.authn", BACKEND, "",
            "Who knows their passwords. With another value, the backend of this number is left out, with a warning."),
    Setting("auth_backends.$n.authz", BACKEND, "",
            "Who knows their rights. Another value is accepted only with an `authn` that is left out."),
    Setting("password_hashing_module", one_of("rabbit_password_hashing_sha256"), "rabbit_password_hashing_sha256",
            "How passwords are kept."),
    Setting("anonymous_login_user", or_none(NAME), "guest",
            "As whom ANONYMOUS logs in; `none` lets nobody in.", "anonymous_login_user"),
    Setting("anonymous_login_pass", ANY, "guest",
            "With which password.", "anonymous_login_pass", secret=True),
    Setting("vhost_max", integer(1, MAX_INT, infinity=0), "infinity",
            "How many vhosts there may be.", "vhost_max"),
    Setting("default_vhost", NAME, "/",
            "The vhost that a new broker has.", "default_vhost", environment=("RABBITMQ_DEFAULT_VHOST",)),
    Setting("default_user", NAME, "guest",
            "The user that a new broker has.", environment=("RABBITMQ_DEFAULT_USER",)),
    Setting("default_pass", ANY, "guest",
            "That user's password.", environment=("RABBITMQ_DEFAULT_PASS",), secret=True),
    Setting("default_user_tags.$tag", BOOLEAN, "administrator = true",
            "That user's tags. Any such line replaces the default."),
    Setting("default_permissions.configure", REGEX, ".*", "What that user may configure in default_vhost."),
    Setting("default_permissions.write", REGEX, ".*", "What that user may write to in default_vhost."),
    Setting("default_permissions.read", REGEX, ".*", "What that user may read from in default_vhost."),
    Setting("default_users.$name.password", ANY, "", "A further user; one without a password cannot use one.",
            secret=True),
    Setting("default_users.$name.tags", TAGS, "", "The tags of this user."),
    Setting("default_users.$name.vhost_pattern", REGEX, ".*", "The vhosts where this user has the following rights."),
    Setting("default_users.$name.configure", REGEX, ".*", "What this user may configure."),
    Setting("default_users.$name.write", REGEX, ".*", "What this user may write to."),
    Setting("default_users.$name.read", REGEX, ".*", "What this user may read from."),
    Setting("default_limits.vhosts.$id.pattern", REGEX, ".*", "The vhosts that get the following limits when made."),
    Setting("default_limits.vhosts.$id.max_connections", POSITIVE, "", "How many connections they may have."),
    Setting("default_limits.vhosts.$id.max_queues", POSITIVE, "", "How many queues they may have."),
    Setting("default_policies.operator.$id.vhost_pattern", REGEX, ".*",
            "The vhosts that get this operator policy when made."),
    Setting("default_policies.operator.$id.queue_pattern", REGEX, ".*", "The queues that it is for."),
    Setting("default_policies.operator.$id.expires", duration_ms(1), "", "What it sets: how long unused queues stay."),
    Setting("default_policies.operator.$id.message_ttl", duration_ms(0), "", "How long messages stay."),
    Setting("default_policies.operator.$id.max_length", POSITIVE, "", "How many messages a queue takes."),
    Setting("default_policies.operator.$id.max_length_bytes", BYTES, "", "How many bytes of them."),
    Setting("default_policies.operator.$id.max_in_memory_length", POSITIVE, "", "How many it may keep in memory."),
    Setting("default_policies.operator.$id.max_in_memory_bytes", BYTES, "", "How many bytes of them."),
    Setting("default_policies.operator.$id.delivery_limit", POSITIVE, "", "How often a message comes back."),
    Setting("default_policies.operator.$id.classic_queues.queue_version", integer(1, 2), "",
            "The version of classic queues."),
)
# fmt: on
