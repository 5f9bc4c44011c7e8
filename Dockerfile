# A static binary and the certificate authorities, nothing else: no shell, no package, no user but a
# number. Needs nothing to write to: run it with a read-only root file system.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
# `generate config` prints it.
COPY config.example.toml ./
ARG REVISION=unknown
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
    && TAILBACK_REVISION="$REVISION" RUSTFLAGS="-C target-feature=+crt-static" \
       cargo build --locked --release --target "$target" \
    && cp "target/$target/release/tailback" /tailback

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /tailback /tailback
# Memory that a snapshot no longer needs goes back to the system.
ENV MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=65536 MALLOC_TRIM_THRESHOLD_=131072
USER 65532:65532
EXPOSE 9828
HEALTHCHECK --interval=10s --timeout=4s --start-period=5s CMD ["/tailback", "check", "--self"]
ENTRYPOINT ["/tailback"]
CMD ["run"]
