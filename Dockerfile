FROM python:3.13-slim

COPY . /src
RUN pip install --no-cache-dir /src && rm -rf /src && useradd --system --no-create-home amqpbroker \
    && install --directory --owner amqpbroker --mode 700 /var/lib/amqpbroker

USER amqpbroker
# The data directory is $XDG_DATA_HOME/amqpbroker.
ENV XDG_DATA_HOME=/var/lib
VOLUME /var/lib/amqpbroker
EXPOSE 5672
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s CMD ["amqpbroker", "ping"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["amqpbroker"]
CMD ["serve", "--host", "0.0.0.0"]
