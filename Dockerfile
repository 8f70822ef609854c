# docker build . --tag coresmd:latest
ARG BUILDER_BASE=golang:1.26-bookworm
ARG BASE=debian:bookworm-slim

FROM ${BUILDER_BASE} AS builder
WORKDIR /src
# .git comes along: the version is read from it. Without it, name these two.
ARG BUILD_VERSION
ARG BUILD_COMMIT
COPY . .
RUN make build && make loaders

FROM ${BASE}
COPY --from=builder /src/bin/coredhcp /coredhcp
COPY --from=builder /src/build/tftpboot /tftpboot
CMD ["/coredhcp"]
