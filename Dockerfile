FROM python:3.13-slim

COPY . /src
RUN pip install --no-cache-dir /src && rm -rf /src && useradd --system --no-create-home amqpbroker

USER amqpbroker
EXPOSE 5672
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s CMD ["amqpbroker", "ping"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["amqpbroker"]
CMD ["serve", "--host", "0.0.0.0"]
