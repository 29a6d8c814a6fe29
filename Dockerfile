# Takes the place of RabbitMQ's official image: the same user, paths, environment and commands.
#
#     docker build -t amqpbroker . && docker run -p 5672:5672 -p 15672:15672 amqpbroker

# The hot path is compiled here, by a compiler that stays here.
FROM python:3.13-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev
COPY pyproject.toml README.md LICENSE setup.py /src/
COPY tools/generated_c.py tools/objects.py /src/tools/
COPY amqpbroker /src/amqpbroker
RUN python -m venv /opt/amqpbroker && AMQPBROKER_COMPILE=1 /opt/amqpbroker/bin/pip install --no-cache-dir "/src[postgresql]"

FROM python:3.13-slim
RUN groupadd --gid 999 rabbitmq && useradd --uid 999 --gid 999 --home-dir /var/lib/rabbitmq --no-create-home rabbitmq \
    && install --directory --owner rabbitmq --group rabbitmq --mode 700 /var/lib/rabbitmq \
    && install --directory --owner rabbitmq --group rabbitmq /etc/rabbitmq/conf.d
COPY --from=build /opt/amqpbroker /opt/amqpbroker
COPY --chmod=755 tools/image/bin/ /usr/local/bin/
COPY tools/image/10-defaults.conf /etc/rabbitmq/conf.d/

# The data directory is $XDG_DATA_HOME/amqpbroker. RabbitMQ's own files in the same volume are left alone.
ENV PATH=/opt/amqpbroker/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RABBITMQ_NODE_IP_ADDRESS=0.0.0.0 \
    XDG_DATA_HOME=/var/lib/rabbitmq
USER rabbitmq
VOLUME /var/lib/rabbitmq
EXPOSE 5671 5672 15671 15672 15691 15692
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s CMD ["rabbitmq-diagnostics", "-q", "ping"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["rabbitmq-server"]
