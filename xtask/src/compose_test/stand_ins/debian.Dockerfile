# Stands in for debian:bookworm-slim, and trusts whom the machine trusts: programs that bring their own
# certificates are told where the machine's are.
FROM perfwatch-debootstrap:bookworm
COPY --from=certificates build-machine.crt /etc/ssl/build-machine.crt
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/build-machine.crt \
    SSL_CERT_FILE=/etc/ssl/build-machine.crt \
    CARGO_HTTP_CAINFO=/etc/ssl/build-machine.crt
