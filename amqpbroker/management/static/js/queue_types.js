// The types of queues that the broker has, as its overview lists them.

/** Types of RabbitMQ, whose overview lists none. */
const OF_RABBITMQ = [
  { name: "classic", durable_only: false, apply_to: "classic_queues" },
  { name: "quorum", durable_only: true, apply_to: "quorum_queues" },
];

/** [{name, durable_only: neither transient nor auto-delete, apply_to: a policy's apply-to for such queues only}] */
const types = (overview) => overview?.amqpbroker?.queue_types ?? OF_RABBITMQ;

export const queueTypeNames = (overview) => types(overview).map(({ name }) => name);

/** Whether queues of the type are neither transient nor auto-delete. */
export const isDurableOnly = (overview, type) => types(overview).some(({ name, durable_only }) => name === type && durable_only);

/** Values of a policy's apply-to that are for queues, with what they are called. */
export const queueTargets = (overview) => [
  ["queues", "Queues"],
  ...types(overview).filter(({ apply_to }) => apply_to).map(({ name, apply_to }) => [apply_to, `${name[0].toUpperCase()}${name.slice(1)} queues`]),
];
