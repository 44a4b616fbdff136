# Stands in for rust:1.95-bookworm: the machine's own toolchain.
FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev ca-certificates
COPY --from=toolchain bin /usr/local/bin
COPY --from=toolchain lib /usr/local/lib
ENV CARGO_HOME=/usr/local/cargo
