# SPDX-FileCopyrightText: The Holdfast Authors
# SPDX-License-Identifier: Apache-2.0

# make image builds it; by hand:
#   docker build --build-arg VERSION=v0.1.0 -t holdfast-dev/holdfast:v0.1.0 .

# The compiler runs on the builder's own platform and builds for the target's.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
# The modules change less often than the code, so they are a layer of their own.
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY config config
COPY certs certs
COPY webhook webhook
COPY recovery recovery
ARG VERSION=dev TARGETOS TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath \
    -ldflags "-s -w -X github.com/holdfast-dev/holdfast/cmd/holdfast/app.version=$VERSION" \
    -o /holdfast ./cmd/holdfast

# Nothing but the program, and the authorities by which it knows other servers.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /holdfast /holdfast
# A number, so that a cluster can tell that it is not root.
USER 65532:65532
ENTRYPOINT ["/holdfast"]
