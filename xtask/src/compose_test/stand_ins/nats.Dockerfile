# Stands in for nats:2.10-alpine: Debian's is 2.9.
FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends nats-server
EXPOSE 4222
ENTRYPOINT ["nats-server"]
