"""Who may log in, and the users and the vhost of a new broker."""

from amqpbroker.config.accepted import ANY, BOOLEAN, NAME, REGEX, TAGS, one_of
from amqpbroker.config.setting import Setting

# fmt: off
ROWS: tuple[Setting, ...] = (
    Setting("loopback_users", one_of("none"), "",
            "`none` lets every user connect from anywhere."),
    Setting("loopback_users.$user", BOOLEAN, "guest = true",
            "Whether this user may connect from this machine only. Any such line replaces the default."),
    Setting("auth_mechanisms.$n", one_of("PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL"),
            "1 = AMQPLAIN, 2 = ANONYMOUS, 3 = PLAIN",
            "The SASL mechanisms offered, in the order of their numbers. Any such line replaces the default."),
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
)
# fmt: on
