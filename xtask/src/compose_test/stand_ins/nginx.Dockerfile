# Stands in for nginx:stable-bookworm.
FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends nginx-light curl
