// The queue types of the broker, which its overview lists.

/** The queue types of RabbitMQ, whose overview does not list them. */
const OF_RABBITMQ = [
  { name: "classic", durable_only: false, apply_to: "classic_queues" },
  { name: "quorum", durable_only: true, apply_to: "quorum_queues" },
];

/** Returns [{name, durable_only, apply_to}]; apply_to is the value of a policy that applies to this type only. */
const types = (overview) => overview?.amqpbroker?.queue_types ?? OF_RABBITMQ;

export const queueTypeNames = (overview) => types(overview).map(({ name }) => name);

/** Returns true if queues of the type cannot be transient or auto-delete. */
export const isDurableOnly = (overview, type) => types(overview).some(({ name, durable_only }) => name === type && durable_only);

/** Returns the values of a policy's apply-to that are for queues, with their titles. */
export const queueTargets = (overview) => [
  ["queues", "Queues"],
  ...types(overview).filter(({ apply_to }) => apply_to).map(({ name, apply_to }) => [apply_to, `${name[0].toUpperCase()}${name.slice(1)} queues`]),
];
