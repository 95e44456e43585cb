# The server in a container: docker build -t pinyto .
# Data and key are in the volume /var/lib/pinyto; see docs/setup-one-machine.md.

# Another registry's images, if need be.
ARG BUILD_IMAGE=docker.io/library/rust:1.95-bookworm
ARG RUN_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
# The flag: see the README.
RUN cargo build --locked --release --ignore-rust-version --package pinyto-http --bin pinyto-server \
    && cp target/release/pinyto-server /pinyto-server

FROM ${RUN_IMAGE}
RUN useradd --system --uid 999 --home-dir /var/lib/pinyto --shell /usr/sbin/nologin pinyto \
    && install -d -o pinyto -g pinyto -m 0700 /var/lib/pinyto
COPY --from=build /pinyto-server /usr/local/bin/pinyto-server
USER pinyto
WORKDIR /var/lib/pinyto
VOLUME /var/lib/pinyto
# Health and metrics are for the containers' network only: don't publish 9100.
ENV PINYTO_LISTEN=0.0.0.0:8080 PINYTO_ADMIN_LISTEN=0.0.0.0:9100
EXPOSE 8080 9100
# The image has no curl.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9100 && printf 'GET /healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && read -r answer <&3 && [[ $answer == *' 200 '* ]]"]
ENTRYPOINT ["pinyto-server"]
