# docker build . --tag coresmd:latest
#
# The base needs apt and Go. A digest pins it: --build-arg BUILDER_DIGEST=@sha256:...
ARG BUILDER_BASE=golang:1.26-bookworm
ARG BUILDER_DIGEST=

FROM ${BUILDER_BASE}${BUILDER_DIGEST} AS builder
RUN apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends \
	bzip2 ca-certificates dpkg-dev gcc git libc6-dev libcap2-bin libssl-dev make xz-utils >/dev/null
COPY image/tools.bash /usr/src/
RUN /usr/src/tools.bash /usr/src/tools

WORKDIR /src
# Where modules come from, for a site with a proxy of its own.
ARG GOPROXY
ARG GOSUMDB
ARG GOFLAGS
COPY go.mod go.sum ./
RUN go mod download
# .git comes along: the version is read from it. Without it, name these two.
ARG BUILD_VERSION
ARG BUILD_COMMIT
COPY . .
RUN make build loaders build/licences && image/root.bash /image

FROM scratch
COPY --from=builder /image/ /
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ARG BUILD_VERSION=unknown
ARG BUILD_COMMIT=unknown
ARG BUILD_TIME=unknown
LABEL org.opencontainers.image.title="coresmd" \
	org.opencontainers.image.description="CoreDHCP with the plugins coresmd and bootloop, for OpenCHAMI" \
	org.opencontainers.image.source="https://github.com/OpenCHAMI/coresmd" \
	org.opencontainers.image.documentation="https://github.com/OpenCHAMI/coresmd/blob/main/docs/install.md" \
	org.opencontainers.image.vendor="OpenCHAMI" \
	org.opencontainers.image.licenses="MIT" \
	org.opencontainers.image.version="${BUILD_VERSION}" \
	org.opencontainers.image.revision="${BUILD_COMMIT}" \
	org.opencontainers.image.created="${BUILD_TIME}"
EXPOSE 67/udp 69/udp 547/udp
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["/coresmd", "health"]
CMD ["/coredhcp"]
