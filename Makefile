# `make` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules --no-print-directory

GO ?= go
FUZZTIME ?= 30s

# Packages whose tests need neither root nor a network.
UNIT := ./cmd/... ./coresmd/... ./bootloop/... ./server/... ./internal/... ./resources/... ./bench/load/...

# One static binary. range and bootloop keep leases in SQLite: that needs cgo.
TAGS := netgo,osusergo,sqlite_omit_load_extension
STATIC := -linkmode external -extldflags "-static" -s -w
SOURCES := go.mod go.sum $(shell find . \( -name .git -o -name bin -o -name build -o -name dist -o -name test -o -name testdata -o -name tools \) -prune \
	-o -type f ! -name '*_test.go' \( -name '*.go' -o -path './resources/*' -o -path './internal/version/stamp/*' -o -path './internal/status/page/*' \) -print)

# What is shipped.
BINARIES := bin/coredhcp bin/coresmd bin/dhcping

# What the tests call that a fresh Debian may lack. gcc stands for build-essential: any gcc will do.
DEPS := postgresql udhcpc isc-dhcp-client dhcpcd-base isc-dhcp-relay kea-dhcp4-server dnsmasq-base tftp-hpa curl busybox iproute2 iputils-ping procps openssl \
	git ca-certificates file prometheus systemd tshark
# What the tests on emulated machines need.
FIRMWARE := iproute2 isc-dhcp-relay radvd qemu-system-x86 qemu-system-arm ipxe-qemu ipxe ovmf qemu-efi-aarch64 postgresql

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: $(BINARIES) ## bin/coredhcp: CoreDHCP with its core plugins, coresmd and bootloop; bin/coresmd, bin/dhcping; static

build/coredhcp/main.go: resources/coredhcp.go.template resources/plugins.txt go.mod
	@mkdir -p $(@D)
	@rm -f $@
	@$(GO) tool coredhcp-generator -t resources/coredhcp.go.template -f resources/plugins.txt -o $@ >build/generator.log 2>&1 || \
		{ cat build/generator.log >&2; exit 1; }
	@gofmt -w $@

# Changes when the version does, so that a commit relinks and nothing else does.
build/version: FORCE
	@mkdir -p $(@D)
	@./gen_version.bash --print | grep -v ^buildTime= >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

bin/coredhcp: build/coredhcp/main.go build/version $(SOURCES)
	@$(call build-static,./build/coredhcp)

bin/coresmd: build/version $(SOURCES)
	@$(call build-static,./cmd/coresmd)

define build-static
echo "building $@"
CGO_ENABLED=1 $(GO) build -buildvcs=false -trimpath -tags $(TAGS) \
	-ldflags '$(STATIC) '"$$(./gen_version.bash --ldflags)" -o $@ $(1)
touch $@
endef

.PHONY: man
man: bin/coresmd ## build/man/: manual pages of the command
	@rm -rf build/man; mkdir -p build/man
	@$< man build/man

.PHONY: completions
completions: bin/coresmd ## build/completions/: completions of the command for bash, zsh and fish
	@rm -rf build/completions; mkdir -p build/completions
	@for shell in bash zsh fish; do $< completion $$shell >build/completions/coresmd.$$shell; done

# The same plugins in CoreDHCP's own main program and packet loop, for comparison.
build/stock/main.go: resources/plugins.txt go.mod
	@mkdir -p $(@D)
	@rm -f $@
	@$(GO) tool coredhcp-generator -f resources/plugins.txt -o $@ \
		-t "$$($(GO) list -m -f '{{.Dir}}' github.com/coredhcp/coredhcp)/cmds/coredhcp-generator/coredhcp.go.template" >build/generator.log 2>&1 || \
		{ cat build/generator.log >&2; exit 1; }
	@gofmt -w $@

bin/coredhcp-stock: build/stock/main.go $(SOURCES)
	@echo "building $@"
	@CGO_ENABLED=1 $(GO) build -buildvcs=false -trimpath -tags $(TAGS) -ldflags '$(STATIC)' -o $@ ./build/stock
	@touch $@

bin/dhcping: $(SOURCES)
	@echo "building $@"
	@CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -ldflags '-s -w' -o $@ ./cmd/dhcping
	@touch $@

.PHONY: test
test: check-root install-deps build vet unit e2e ## everything: installs what it needs, needs root

.PHONY: vet
vet: build/coredhcp/main.go ## go vet
	$(GO) vet ./...

.PHONY: unit
unit: ## unit tests and fuzz seeds; no root
	$(GO) test -race -shuffle=on $(UNIT)
	CGO_ENABLED=0 $(GO) test -run NoCgo ./bootloop ./internal/lease
	$(GO) test -run Peak ./internal/smd ./internal/journal

.PHONY: e2e
e2e: check-root build ## real clients, real SMD, in network namespaces; root
	$(GO) test -count=1 -timeout 15m ./test/... ./bench

# Tests of what only our main program and packet loop do are left out.
.PHONY: e2e-stock
e2e-stock: check-root build bin/coredhcp-stock ## the same on CoreDHCP's own main program and packet loop; root
	COREDHCP=$(CURDIR)/bin/coredhcp-stock $(GO) test -count=1 -timeout 15m -skip 'Test(Loop|Reload|Keeper|KillSuccessor|Notify|SocketsAreHandedOver|RangeIsHandedOver|NobodyReadsTheLog|UUIDOnTheWire6|Foreign|Binary|StockBuild|GenVersion|Demo)' ./test/

# The same with the race detector in the server. It is not static, so that the detector's library can be linked.
.PHONY: test-race
test-race: check-root bin/coredhcp-race ## the end-to-end tests on a server with the race detector; root
	GORACE=halt_on_error=1 COREDHCP=$(CURDIR)/bin/coredhcp-race $(GO) test -count=1 -timeout 25m -skip 'TestBinary|TestStockBuild|TestGenVersion' ./test/

bin/coredhcp-race: build/coredhcp/main.go $(SOURCES)
	@echo "building $@"
	@CGO_ENABLED=1 $(GO) build -race -buildvcs=false -tags sqlite_omit_load_extension -o $@ ./build/coredhcp
	@touch $@

# The tests have the same with fewer reloads.
.PHONY: test-reload
test-reload: check-root build ## 100 reloads and 20 new binaries under load; nobody waits longer than a second; root
	RELOADS=100 HANDOVERS=20 $(GO) test -count=1 -timeout 25m -parallel 1 -run 'TestReload6?$$' -v ./test

# The tests have the same with 100 machines and a link that is slower by as much.
.PHONY: test-storm
test-storm: check-root build ## 2,000 machines load by TFTP at once over 1 Gbit/s; root
	$(GO) test -tags storm -count=1 -timeout 10m -run 'TestTFTPStorm(Full|Contrast)' -v ./test

.PHONY: test-flood
test-flood: check-root build ## a gigabyte of garbage, a million packets; root
	$(GO) test -tags storm -count=1 -timeout 10m -run TestGoroutinesAreStable -v ./server
	$(GO) test -tags storm -count=1 -timeout 10m -run TestLoopGigabyte -v ./test

# Emulated: a machine takes half a minute to its script. Four at once is what two cores bear.
.PHONY: test-firmware
test-firmware: check-root install-firmware build/firmware-parts build ## emulated BIOS and UEFI machines boot, by iPXE and by PXE; root
	$(GO) test -tags firmware -count=1 -parallel 4 -timeout 15m -v ./test/firmware

.PHONY: install-firmware
install-firmware:
	@$(MAKE) install-deps DEPS='$(FIRMWARE)'

# A kernel and a static busybox out of Debian's packages, which are not installed.
build/firmware-parts:
	@rm -rf $@.new; mkdir -p $@.new
	@apt-get -qq update
	@cd $@.new; kernel=$$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $$2 }'); \
		apt-get -qq -o APT::Sandbox::User=root download "$$kernel" busybox-static; \
		for package in *.deb; do dpkg-deb --fsys-tarfile "$$package" | tar -x --wildcards './boot/vmlinuz-*' './bin/busybox' 2>/dev/null || true; done; \
		mv boot/vmlinuz-* vmlinuz; mv bin/busybox busybox; rm -rf boot bin ./*.deb
	@mv $@.new $@

# PICTURES=FOLDER keeps pictures of the page.
.PHONY: test-page
test-page: check-root ## the page at / in headless Chromium; root
	@$(MAKE) install-deps DEPS='chromium fonts-dejavu-core $(DEPS)'
	@$(MAKE) build
	$(GO) test -tags page -count=1 -timeout 10m -run TestPage -v ./test

.PHONY: check-root
check-root:
	@[ "$$(id -u)" = 0 ] || { echo "this makes network namespaces and opens port 67: run it as root." \
		"Without root there is: make unit" >&2; exit 1; }

.PHONY: demo
demo: check-root ## a known machine boots and an unknown one waits, in two namespaces; root
	@$(MAKE) install-deps DEPS=iproute2
	@$(MAKE) build
	@$(GO) run ./test/demo

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (30s)
	@for package in $$($(GO) list $(UNIT)); do \
		listed=$$($(GO) test -list '^Fuzz' "$$package"); \
		for target in $$(grep '^Fuzz' <<<"$$listed" || true); do \
			echo "== $$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"; \
		done; \
	done

# What the comparison runs beside us.
PEERS := kea-dhcp4-server kea-admin dnsmasq-base postgresql iproute2 util-linux procps

# BENCH=quick is one short round. One that was interrupted goes on where it was.
.PHONY: bench
bench: check-root bin/coredhcp bin/coredhcp-stock ## comparison with Kea and others, 20 minutes: docs/performance.md; root
	@$(MAKE) install-deps DEPS='$(PEERS)'
	@$(GO) build -o bin/bench ./bench
	@bin/bench $(if $(filter quick,$(BENCH)),-quick)

.PHONY: bench-go
bench-go: ## benchmarks with allocations
	@$(GO) test -run '^$$' -bench . -benchmem $(UNIT)

.PHONY: lint
lint: bin/tools/golangci-lint build/coredhcp/main.go ## golangci-lint: style and import rules
	@$< run

.PHONY: fmt
fmt: bin/tools/golangci-lint ## gofumpt
	@$< fmt

bin/tools/golangci-lint: tools/go.mod tools/go.sum
	@echo "building $@"
	@$(GO) build -C tools -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

bin/tools/cyclonedx-gomod: tools/sbom/go.mod tools/sbom/go.sum
	@echo "building $@"
	@$(GO) build -C tools/sbom -o ../../$@ github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
	@touch $@

bin/tools/goreleaser: tools/goreleaser/go.mod tools/goreleaser/go.sum
	@echo "building $@"
	@$(GO) build -C tools/goreleaser -o ../../$@ github.com/goreleaser/goreleaser/v2
	@touch $@

bin/tools/supply: $(wildcard tools/supply/*)
	@echo "building $@"
	@$(GO) build -C tools/supply -o ../../$@ .
	@touch $@

# The licences of everything that is linked.
build/licences: build bin/tools/supply
	@rm -rf $@
	@bin/tools/supply licences $@ $(BINARIES)

.PHONY: docs
docs: build bin/tools/supply ## docs/dependencies.md: what is linked, out of the binaries
	@bin/tools/supply list bin/coredhcp bin/coresmd >build/dependencies
	@{ sed '/^## Direct$$/,$$d' docs/dependencies.md; cat build/dependencies; } >build/dependencies.md
	@mv build/dependencies.md docs/dependencies.md

# The database of the Go project is a module: it can be had where modules can.
VULNDB ?= latest
.PHONY: vulnerabilities
vulnerabilities: build/coredhcp/main.go ## what the Go project knows of weaknesses in what is linked
	@mkdir -p build bin/tools
	@$(GO) build -C tools/vuln -o ../../bin/tools/vuln .
	@$(GO) build -C tools/vuln -o ../../bin/tools/govulncheck golang.org/x/vuln/cmd/govulncheck
	@source=$$(cd tools/vuln && GOFLAGS= $(GO) mod download -json golang.org/x/vulndb@$(VULNDB) | sed -n 's/.*"Dir": "\(.*\)".*/\1/p'); \
	rm -rf build/vulndb; bin/tools/vuln "$$source" build/vulndb
	@bin/tools/govulncheck -db "file://$(CURDIR)/build/vulndb" -tags $(TAGS) ./build/coredhcp ./cmd/coresmd

.PHONY: snapshot
snapshot: bin/tools/goreleaser ## dist/: archives, packages and lists of parts for linux amd64 and arm64, not published
	@PATH="$(CURDIR)/bin/tools:$$PATH" GIT_STATE=$$(./gen_version.bash --print | sed -n s/^gitState=//p) \
		BUILD_HOST=$$(uname -n) BUILD_USER=$$(id -un) GO_VERSION=$$($(GO) env GOVERSION) \
		$< release --snapshot --skip publish --clean

.PHONY: loaders
loaders: build/ipxe ## build/tftpboot/: iPXE from Debian's package, under the names that machines are offered
	@./collect_loaders.bash build/tftpboot build/ipxe

build/ipxe: image/ipxe.bash
	@$< $@ || { rm -rf $@; exit 1; }
	@touch $@

.PHONY: image
image: ## container image coresmd:latest
	docker build . --tag coresmd:latest

# Where there is no registry: a base of our own for the builder, and an engine of our own.
.PHONY: container-test
container-test: check-root ## builds the container image and has a real client get its lease from it; root
	@$(MAKE) install-deps DEPS='docker.io debootstrap $(DEPS)'
	@$(MAKE) build/builder-base.tar.gz
	$(GO) test -tags container -count=1 -timeout 30m -v ./test/container

# Debian with this host's Go and CA bundle.
build/builder-base.tar.gz:
	@mkdir -p build
	@base=$$(mktemp -d); trap 'rm -rf "$$base"' EXIT; \
	debootstrap --variant=minbase --include=$(BUILDER) $(SUITE) "$$base" >build/debootstrap.log || \
		{ cat build/debootstrap.log >&2; exit 1; }; \
	cp -a "$$($(GO) env GOROOT)" "$$base/usr/local/go"; \
	cp /etc/ssl/certs/ca-certificates.crt "$$base/etc/ssl/certs/"; \
	tar -C "$$base" -c . | gzip -1 >$@

.PHONY: package-test
package-test: check-root ## a release for two architectures, its packages on a fresh Debian; root
	@$(MAKE) install-deps DEPS='$(DEPS) debootstrap gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user rpm systemd'
	@$(MAKE) snapshot build/debian-root.tar.gz
	$(GO) test -tags packages -count=1 -timeout 20m -v ./test/packages

# A Debian that nothing was added to.
build/debian-root.tar.gz:
	@mkdir -p build
	@root=$$(mktemp -d); trap 'rm -rf "$$root"' EXIT; \
	debootstrap --variant=minbase $(SUITE) "$$root" >build/debootstrap.log || \
		{ cat build/debootstrap.log >&2; exit 1; }; \
	chmod 755 "$$root"; tar -C "$$root" -c . | gzip -1 >$@

SUITE := bookworm
BUILDER := bzip2,ca-certificates,dpkg-dev,gcc,git,libc6-dev,libcap2-bin,libssl-dev,make,xz-utils

.PHONY: clean
clean: ## remove what was built
	@rm -rf bin build dist internal/version/stamp/build

# Sets the variable missing to the packages of DEPS that are not installed.
define find-missing
missing=(); for p in $(DEPS); do \
	dpkg-query -W -f='$${Status}' "$$p" 2>/dev/null | grep -q '^install ok installed' || missing+=("$$p"); done; \
command -v gcc >/dev/null || missing+=(build-essential)
endef

.PHONY: check-deps
check-deps: ## name the Debian packages that the tests lack
	@$(find-missing); [ $${#missing[@]} = 0 ] || { echo "missing: $${missing[*]}" >&2; exit 1; }

# While packages are installed, no service starts and no PostgreSQL cluster is made: the tests run their own.
.PHONY: install-deps
install-deps: ## install them (as root)
	@command -v dpkg-query >/dev/null || { echo "not Debian: the tests need $(DEPS) and gcc" >&2; exit 0; }; \
	$(find-missing); \
	[ $${#missing[@]} != 0 ] || exit 0; \
	if [ "$$(id -u)" != 0 ]; then \
		echo "the tests need more packages; as root: apt-get install --no-install-recommends $${missing[*]}" >&2; exit 1; \
	fi; \
	echo "installing $${missing[*]}"; \
	policy=/usr/sbin/policy-rc.d; cluster=/etc/postgresql-common/createcluster.d/coresmd-tests.conf; ours=(); \
	trap 'rm -f "$${ours[@]}"' EXIT; \
	if [ ! -e $$policy ]; then \
		ours+=($$policy); printf '#!/bin/sh\nexit 101\n' >$$policy; chmod 755 $$policy; \
	fi; \
	mkdir -p "$${cluster%/*}"; ours+=($$cluster); echo 'create_main_cluster = false' >$$cluster; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get -qq update; \
	apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends "$${missing[@]}" >/dev/null

.PHONY: FORCE
FORCE:
